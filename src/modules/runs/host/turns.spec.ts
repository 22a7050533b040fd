import { describe, expect, it } from 'vitest'
import { Turns } from './turns.js'

/** Work that goes on until the test ends it, by name. */
class Bench {
  readonly started: string[] = []
  private readonly ends = new Map<string, () => void>()

  constructor(private readonly turns: Turns) {}

  take(account: string, name: string, signal = new AbortController().signal): Promise<string> {
    return this.turns.take(account, signal, async () => {
      this.started.push(name)
      await new Promise<void>((resolve) => this.ends.set(name, resolve))
      return name
    })
  }

  async end(name: string): Promise<void> {
    this.ends.get(name)?.()
    await new Promise(setImmediate)
  }
}

describe('turns', () => {
  it('are taken by so many at once, in turns between accounts, and by each account in order', async () => {
    const bench = new Bench(new Turns(2, 2))
    const all = ['a1', 'a2', 'a3', 'a4', 'b1', 'b2'].map((name) => bench.take(name.slice(0, 1), name))
    await new Promise(setImmediate)
    expect(bench.started).toEqual(['a1', 'a2'])
    for (const name of ['a1', 'a2', 'a3', 'b1', 'a4', 'b2']) await bench.end(name)
    expect(bench.started).toEqual(['a1', 'a2', 'a3', 'b1', 'a4', 'b2'])
    expect(await Promise.all(all)).toEqual(['a1', 'a2', 'a3', 'a4', 'b1', 'b2'])
  })

  it('are left for others by an account that has its part', async () => {
    const bench = new Bench(new Turns(3, 2))
    for (const name of ['a1', 'a2', 'a3', 'b1']) void bench.take(name.slice(0, 1), name)
    await new Promise(setImmediate)
    expect(bench.started).toEqual(['a1', 'a2', 'b1'])
    await bench.end('b1')
    expect(bench.started).toHaveLength(3)
    await bench.end('a1')
    expect(bench.started).toEqual(['a1', 'a2', 'b1', 'a3'])
  })

  it('are given back by work that fails, and by waiting that is stopped', async () => {
    const turns = new Turns(1, 1)
    const bench = new Bench(turns)
    const { signal } = new AbortController()
    await expect(turns.take('a', signal, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    void bench.take('a', 'a1')
    const stop = new AbortController()
    const stopped = bench.take('a', 'a2', stop.signal)
    const last = bench.take('a', 'a3')
    stop.abort(new Error('stopped'))
    await expect(stopped).rejects.toThrow('stopped')
    await bench.end('a1')
    await bench.end('a3')
    expect(await last).toBe('a3')
    expect(bench.started).toEqual(['a1', 'a3'])
  })
})
