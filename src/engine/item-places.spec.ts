import { describe, expect, it, vi } from 'vitest'
import { graphOf, interpret, RUN, stepType } from './flow.fake.js'
import { FakeHost } from './host.fake.js'
import { Parked } from './host.js'
import { Engine } from './interpreter.js'
import { fakeLanguage } from './language.fake.js'
import { StepRegistry } from './step.js'

/** Items that go on until the test lets them, of all runs together and by run. */
class Crowd {
  readonly inMemory = new Map<string, number>()
  private readonly going: (() => void)[] = []

  readonly step = stepType('call', async (_, { run }) => {
    this.add(run.id, 1)
    await new Promise<void>((resolve) => this.going.push(resolve))
    this.add(run.id, -1)
    return { output: null }
  })

  get size(): number {
    return this.going.length
  }

  /** Lets all go on that are there. */
  go(): void {
    for (const go of this.going.splice(0)) go()
  }

  private add(id: string, count: number): void {
    this.inMemory.set(id, (this.inMemory.get(id) ?? 0) + count)
  }
}

const batchOf = (type: string) => graphOf({ each: { type, batch: { strategy: 'parallel', maxParallel: 100 } } })
const items = (count: number) => Array.from({ length: count }, (_, index) => index)

describe('the room for items of batches', () => {
  it('is shared: no batch takes more than it leaves, and each goes on', async () => {
    const crowd = new Crowd()
    const engine = new Engine({ registry: new StepRegistry([crowd.step]), checkParams: () => [], maxItems: 10 })
    const start = (id: string) =>
      engine.interpret(
        { run: { ...RUN, id }, graph: batchOf('call'), language: fakeLanguage, input: items(40) },
        new FakeHost(),
        new AbortController().signal,
      )
    const runs = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map(start)
    await vi.waitFor(() => expect(crowd.inMemory.size).toBe(8))
    expect(crowd.size).toBeLessThanOrEqual(10 + 8)
    expect(crowd.inMemory.get('a')).toBe(6)
    expect(crowd.inMemory.get('h')).toBeGreaterThan(0)
    const ended = Promise.all(runs)
    let isOver = false
    void ended.then(() => {
      isOver = true
    })
    while (!isOver) {
      crowd.go()
      await new Promise((resolve) => setImmediate(resolve))
      expect(crowd.size).toBeLessThanOrEqual(10 + 8)
    }
    expect((await ended).map(({ state }) => state)).toEqual(runs.map(() => 'completed'))

    // All places were given back.
    const last = start('last')
    await vi.waitFor(() => expect(crowd.size).toBe(6))
    while (crowd.size > 0) {
      crowd.go()
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await last).toMatchObject({ state: 'completed' })
  })

  it('is not taken by items that wait outside memory', async () => {
    let asked = 0
    const call = stepType('call', async (_, step) => {
      asked++
      await step.waitForSignal('never')
      return { output: null }
    })
    const host = new FakeHost()
    host.waitForSignal = () => Promise.reject(new Parked())
    const ending = await interpret(batchOf('call'), { host, steps: [call], input: items(60), options: { maxItems: 3 } })
    expect(ending).toMatchObject({ state: 'parked' })
    expect(asked).toBe(60)
  })
})
