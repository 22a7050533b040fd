import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AppendLog, readLog } from './append-log.js'
import { type EffectEntry, EffectServer } from './effect-server.js'
import { FAULTS } from './fault-log.js'
import { ForeignWork } from './foreign-work.js'
import { optionsFrom } from './options.js'
import { Deck, Random } from './random.js'
import { STORIES } from './stories.js'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-crash-'))
})

afterEach(() => rm(folder, { recursive: true }))

describe('chance', () => {
  it('repeats what the seed decided, apart for each part of the harness', () => {
    const draw = (seed: number, name: string) => {
      const random = new Random(seed).fork(name)
      return Array.from({ length: 20 }, () => random.between(1, 1_000))
    }
    expect(draw(7, 'faults')).toEqual(draw(7, 'faults'))
    expect(draw(7, 'faults')).not.toEqual(draw(7, 'load'))
    expect(draw(7, 'faults')).not.toEqual(draw(8, 'faults'))
  })

  it('stays within its bounds and reaches both', () => {
    const random = new Random(1)
    const drawn = new Set(Array.from({ length: 500 }, () => random.between(3, 5)))
    expect([...drawn].sort()).toEqual([3, 4, 5])
  })

  it('deals every fault before any comes again', () => {
    const deck = new Deck(new Random(3), FAULTS)
    for (const _ of [1, 2, 3]) expect(Array.from(FAULTS, () => deck.deal()).sort()).toEqual([...FAULTS].sort())
  })
})

describe('what is appended', () => {
  it('is on the disk when that is said, in its order, however many come at once', async () => {
    const path = join(folder, 'log.jsonl')
    const log = await AppendLog.create<{ n: number }>(path)
    const numbers = Array.from({ length: 300 }, (_, n) => n)
    const seen = await Promise.all(
      numbers.map(async (n) => {
        await log.append({ n })
        return (await readLog<{ n: number }>(path)).some((entry) => entry.n === n)
      }),
    )
    expect(seen.every(Boolean)).toBe(true)
    expect((await readLog<{ n: number }>(path)).map(({ n }) => n)).toEqual(numbers)
    await log.close()
  })
})

describe('the outside', () => {
  it('has written a request down before it answers, with its key and its end', async () => {
    const path = join(folder, 'effects.jsonl')
    const outside = await EffectServer.start(path, new Random(1))
    const ask = (route: string) =>
      fetch(`http://${outside.address}${route}`, { method: 'POST', headers: { 'idempotency-key': 'run:a' }, body: '1' })
    expect((await ask('/limited/customer')).status).toBe(200)
    expect(await readLog<EffectEntry>(path)).toContainEqual(
      expect.objectContaining({ kind: 'arrived', key: 'run:a', request: '/limited/customer 1', limit: 'customer' }),
    )
    await outside.stop()
    expect(await readLog<EffectEntry>(path)).toContainEqual(
      expect.objectContaining({ kind: 'ended', id: 1, status: 200 }),
    )
  })

  it('refuses each key twice where it is flaky', async () => {
    const outside = await EffectServer.start(join(folder, 'effects.jsonl'), new Random(1))
    const statuses: number[] = []
    for (const key of ['a', 'a', 'a', 'b']) {
      const init = { method: 'POST', headers: { 'idempotency-key': key }, body: '1' }
      statuses.push((await fetch(`http://${outside.address}/flaky`, init)).status)
    }
    expect(statuses).toEqual([503, 503, 200, 503])
    await outside.stop()
  })
})

describe('foreign work', () => {
  it('is what others use of the processors, and not what is used here', async () => {
    const foreign = new ForeignWork(folder)
    const spin = (ms: number) => {
      for (const until = performance.now() + ms; performance.now() < until; );
    }
    spin(600)
    const alone = foreign.share()
    const others = spawn(process.execPath, ['--eval', 'for (;;);'], { stdio: 'ignore' })
    await once(others, 'spawn')
    spin(200)
    foreign.share()
    spin(600)
    const beside = foreign.share()
    others.kill('SIGKILL')
    expect(alone).toBeGreaterThanOrEqual(0)
    expect(beside).toBeGreaterThan(0.05)
    expect(beside).toBeLessThanOrEqual(1)
  })
})

describe('the command', () => {
  it('takes half of the kills with Redis, and half without', () => {
    expect(optionsFrom([], true)).toMatchObject({ kills: 50, redis: 'both' })
    expect(optionsFrom([], false)).toMatchObject({ redis: 'without' })
    expect(optionsFrom(['--kills', '1000', '--redis', '--seed', '7'], true)).toMatchObject({
      kills: 1_000,
      redis: 'with',
      seed: 7,
    })
    expect(optionsFrom(['--no-redis', '--faults', 'kill api, freeze'], true)).toMatchObject({
      redis: 'without',
      faults: ['kill api', 'freeze'],
    })
  })
})

describe('each story', () => {
  it.each(STORIES.map((story) => [story.name, story] as const))(
    '%s has an effect only where it has a step',
    (_, story) => {
      const paths = story.stages.flat()
      expect(new Set(paths).size).toBe(paths.length)
      for (const path of [...story.effects, ...(story.once ?? [])]) expect(paths).toContain(path)
    },
  )
})
