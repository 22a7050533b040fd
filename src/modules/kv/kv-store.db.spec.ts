import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { testConfig } from '../../../test/support/config.js'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import type { RunIdentity } from '../../engine/step.js'
import { FakeClock } from '../../platform/clock/clock.fake.js'
import { Sealer } from '../../platform/crypto/sealer.js'
import { newId } from '../../platform/ids.js'
import { KvStore } from './kv-store.js'

let database: TestDatabase
let clock: FakeClock
let store: KvStore
let run: RunIdentity

beforeAll(async () => {
  database = await testDatabase()
})

beforeEach(() => {
  clock = new FakeClock()
  store = new KvStore(database.sql, new Sealer(testConfig()), clock)
  run = runOf(newId('account'))
})

afterAll(() => database.drop())

describe('an entry', () => {
  it.each([null, false, 0, '', 'text', [1, [2]], { z: 1, a: { b: null } }, 'a\u0000b', 1e300])(
    'gives back what was set: %j',
    async (value) => {
      await store.set(run, 'k', value)
      expect(JSON.stringify(await store.get(run, 'k'))).toBe(JSON.stringify(value))
    },
  )

  it('that was never set, or was deleted, is not there', async () => {
    expect(await store.get(run, 'k')).toBeUndefined()
    expect(await store.delete(run, 'k')).toBe(false)
    await store.set(run, 'k', 1)
    await store.set(run, 'k', 2)
    expect(await store.get(run, 'k')).toBe(2)
    expect(await store.delete(run, 'k')).toBe(true)
    expect(await store.get(run, 'k')).toBeUndefined()
  })

  it('is never seen past its time, by any operation', async () => {
    await store.set(run, 'short', 5, inSeconds(10))
    await store.set(run, 'list', ['old'], inSeconds(10))
    await store.set(run, 'long', 6, inSeconds(100))
    expect(await store.keys(run)).toEqual(['list', 'long', 'short'])
    clock.advance(10_000)
    expect(await store.get(run, 'short')).toBeUndefined()
    expect(await store.keys(run)).toEqual(['long'])
    expect(await store.entries(run)).toEqual([{ key: 'long', value: 6 }])
    expect(await store.delete(run, 'short')).toBe(false)
    await store.set(run, 'short', 5, inSeconds(-1))
    expect(await store.increment(run, 'short', 1)).toBe(1)
    await store.append(run, 'list', 'new')
    expect(await store.get(run, 'list')).toEqual(['new'])
    clock.advance(1_000_000)
    expect(await store.entries(run)).toEqual([
      { key: 'list', value: ['new'] },
      { key: 'short', value: 1 },
    ])
    expect(await store.clear(run)).toBe(2)
  })

  it('keeps its time when it is changed, and loses it when it is set anew', async () => {
    await store.set(run, 'n', 1, inSeconds(10))
    await store.increment(run, 'n', 1)
    await store.set(run, 'm', 1, inSeconds(10))
    await store.set(run, 'm', 1)
    clock.advance(10_000)
    expect(await store.keys(run)).toEqual(['m'])
  })
})

describe('entries', () => {
  it('are listed by the bytes of their keys', async () => {
    for (const key of ['b', 'B', 'ä', 'a', '10', '9']) await store.set(run, key, key)
    expect(await store.keys(run)).toEqual(['10', '9', 'B', 'a', 'b', 'ä'])
    expect((await store.entries(run)).map(({ value }) => value)).toEqual(['10', '9', 'B', 'a', 'b', 'ä'])
  })

  it("are each account's own", async () => {
    const other = runOf(newId('account'))
    await store.set(run, 'k', 'mine')
    await store.set(other, 'k', 'theirs')
    expect(await store.get(run, 'k')).toBe('mine')
    await store.increment(other, 'n', 1)
    expect(await store.get(run, 'n')).toBeUndefined()
    expect(await store.clear(other)).toBe(2)
    expect(await store.keys(run)).toEqual(['k'])
    expect(await store.delete(other, 'k')).toBe(false)
  })
})

describe('changes at the same time', () => {
  it('lose no increment, also when the key is new', async () => {
    const sums = await Promise.all(Array.from({ length: 100 }, () => store.increment(run, 'n', 1)))
    expect([...sums].sort((one, other) => one - other)).toEqual(Array.from({ length: 100 }, (_, index) => index + 1))
    expect(await store.get(run, 'n')).toBe(100)
  })

  it('lose no appended value', async () => {
    await Promise.all(Array.from({ length: 100 }, (_, index) => store.append(run, 'list', index)))
    const list = (await store.get(run, 'list')) as number[]
    expect([...list].sort((one, other) => one - other)).toEqual(Array.from({ length: 100 }, (_, index) => index))
  })

  it('write over no value that was set meanwhile', async () => {
    for (let round = 0; round < 30; round++) {
      await store.set(run, 'n', 0)
      const [sum] = await Promise.all([store.increment(run, 'n', 1), store.set(run, 'n', 1_000)])
      // Either the increment came first, and the value that was set stands, or it counted on from there.
      expect(await store.get(run, 'n')).toBe(sum === 1 ? 1_000 : 1_001)
    }
  })
})

describe('a value of the wrong kind', () => {
  it('is told, and stays', async () => {
    await store.set(run, 'text', 'a')
    await expect(store.increment(run, 'text', 1)).rejects.toThrow("the value of 'text' is not a number")
    await expect(store.append(run, 'text', 1)).rejects.toThrow("the value of 'text' is not a list")
    expect(await store.get(run, 'text')).toBe('a')
  })

  it('does not come about by counting too far', async () => {
    await store.set(run, 'n', Number.MAX_VALUE)
    await expect(store.increment(run, 'n', Number.MAX_VALUE)).rejects.toThrow("the value of 'n' becomes too large")
    expect(await store.get(run, 'n')).toBe(Number.MAX_VALUE)
  })
})

describe('too much', () => {
  const large = 'x'.repeat(5_000_000)

  it('is neither set nor appended to a list, and leaves what was there', async () => {
    await expect(store.set(run, 'k', large + large)).rejects.toThrow("the value of 'k' is larger than 8388608")
    await store.append(run, 'list', large)
    await expect(store.append(run, 'list', large)).rejects.toThrow("the value of 'list' is larger than 8388608")
    expect(await store.get(run, 'list')).toEqual([large])
    expect(await store.keys(run)).toEqual(['list'])
  })

  it('is not read at once, while single keys and other accounts are', async () => {
    for (let index = 0; index < 14; index++) await store.set(run, `k${index}`, large)
    await expect(store.entries(run)).rejects.toThrow('the entries are larger than 67108864 bytes together')
    expect(await store.get(run, 'k7')).toBe(large)
    expect(await store.entries(runOf(newId('account')))).toEqual([])
  })
})

function runOf(accountId: string): RunIdentity {
  return { id: newId('run'), flowId: 'flow_f', tenantId: 'default', accountId }
}

function inSeconds(seconds: number): Date {
  return new Date(clock.now().getTime() + seconds * 1_000)
}
