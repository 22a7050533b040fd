import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { testConfig } from '../../../test/support/config.js'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import type { Principal } from '../../platform/auth/principal.js'
import { FakeClock } from '../../platform/clock/clock.fake.js'
import { CannotOpen, Sealer } from '../../platform/crypto/sealer.js'
import { newId } from '../../platform/ids.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { KvEntryNotFound, KvVersionConflict } from './kv.errors.js'
import { KvService, type NewEntry } from './kv.service.js'
import { KvSecrets } from './kv-secrets.js'
import { KvStore } from './kv-store.js'

const sealer = new Sealer(testConfig())
let database: TestDatabase
let clock: FakeClock
let kv: KvService
let store: KvStore
let ann: Principal

beforeAll(async () => {
  database = await testDatabase()
})

beforeEach(() => {
  clock = new FakeClock()
  kv = new KvService(database.dataSource, database.sql, sealer, new AuditTrail(), clock)
  store = new KvStore(database.sql, sealer, clock)
  ann = {
    accountId: newId('account'),
    tenantId: 'default',
    role: 'user',
    email: 'ann@example.com',
    name: 'Ann',
    credential: { kind: 'basic' },
  }
})

afterAll(() => database.drop())

const entry = (more: Partial<NewEntry> = {}): NewEntry => ({ key: 'k', value: 1, scope: 'global', ...more })
const find = async (key = 'k') => (await kv.page(ann, { prefix: key, limit: 1, offset: 0 })).entries[0]
const run = () => ({ id: newId('run'), flowId: 'flow_f', ...ann })

describe('writers at the same time', () => {
  it('lose nothing of 100 who read, change and write until they win', { timeout: 120_000 }, async () => {
    let conflicts = 0
    const count = async () => {
      for (;;) {
        const found = await find()
        try {
          await kv.set(ann, entry({ value: Number(found?.value ?? 0) + 1, version: found?.version ?? 0 }))
          return
        } catch (error) {
          expect(error).toBeInstanceOf(KvVersionConflict)
          conflicts++
        }
      }
    }
    await Promise.all(Array.from({ length: 100 }, count))
    expect(await find()).toMatchObject({ value: 100, version: 100 })
    expect(conflicts).toBeGreaterThan(100)
  })

  it('make one entry of 20 who want to make it', async () => {
    const made = await Promise.allSettled(
      Array.from({ length: 20 }, (_, value) => kv.set(ann, entry({ value, version: 0 }))),
    )
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect((await find())?.version).toBe(1)
  })

  it('without versions all take effect, one after the other', async () => {
    await Promise.all(Array.from({ length: 50 }, (_, value) => kv.set(ann, entry({ value }))))
    expect((await find())?.version).toBe(50)
  })

  it('and steps that count lose nothing either', async () => {
    const versioned = async () => {
      for (;;) {
        const found = await find()
        const won = await kv
          .set(ann, entry({ value: Number(found?.value ?? 0) + 1, version: found?.version ?? 0 }))
          .catch(() => undefined)
        if (won) return
      }
    }
    const increments = Array.from({ length: 40 }, () => store.increment(run(), 'k', 1))
    await Promise.all([...increments, ...Array.from({ length: 10 }, versioned)])
    expect(await find()).toMatchObject({ value: 50, version: 50 })
  })

  it('find the entry that is deleted gone, or their own', async () => {
    for (let round = 0; round < 20; round++) {
      const { entry: made } = await kv.set(ann, entry({ value: 5 }))
      const [, sum] = await Promise.all([kv.remove(ann, made.id), store.increment(run(), 'k', 1)])
      expect(await store.get(run(), 'k')).toBe(sum === 6 ? undefined : 1)
      await store.delete(run(), 'k')
    }
  })
})

describe('an entry', () => {
  it('is stored sealed, for its own place alone', async () => {
    const { entry: made } = await kv.set(ann, entry({ value: 'plain as day' }))
    await kv.set(ann, entry({ key: 'other', value: 'else' }))
    const [row] = await database.dataSource.query('select * from kv_entry where id = $1', [made.id])
    expect(row.sealed.toString('latin1')).not.toContain('plain')
    expect(row.key_id).toBe('test')
    await database.dataSource.query(`update kv_entry set sealed = $2 where account_id = $1 and key = 'other'`, [
      ann.accountId,
      row.sealed,
    ])
    await expect(find('other')).rejects.toThrow(CannotOpen)
  })

  it('past its time is none, whatever asks', async () => {
    const { entry: made } = await kv.set(ann, entry({ value: 'hunter22', secret: true, ttlSeconds: 10 }))
    clock.advance(10_000)
    expect(await find()).toBeUndefined()
    await expect(kv.get(ann, made.id)).rejects.toThrow(KvEntryNotFound)
    await expect(kv.remove(ann, made.id)).rejects.toThrow(KvEntryNotFound)
    await expect(kv.set(ann, entry({ version: 1 }))).rejects.toThrow('There is no entry k')
    await store.set(run(), 'k', 'anew')
    expect(await find()).toMatchObject({ value: 'anew', version: 1, secret: false, createdAt: clock.now() })
  })

  it('is audited without its value', async () => {
    const { entry: made } = await kv.set(ann, entry({ value: 'a value of hers', secret: true }))
    await kv.set(ann, entry({ value: 'another of hers', ttlSeconds: 60 }))
    await kv.remove(ann, made.id)
    const entries = await database.dataSource.query(
      'select action, before, after from audit_entry where resource_id = $1 order by seq',
      [made.id],
    )
    const first = { key: 'k', scope: 'global', version: 1, hidden: true }
    const second = { ...first, version: 2, expiresAt: new Date(clock.now().getTime() + 60_000).toISOString() }
    expect(entries).toEqual([
      { action: 'kv.create', before: null, after: first },
      { action: 'kv.update', before: first, after: second },
      { action: 'kv.delete', before: second, after: null },
    ])
  })

  it('that could not be set leaves no trace', async () => {
    await kv.set(ann, entry())
    await expect(kv.set(ann, entry({ version: 7 }))).rejects.toThrow(KvVersionConflict)
    await expect(kv.set(ann, entry({ value: 'x'.repeat(9_000_000) }))).rejects.toThrow('The request was invalid')
    const { length } = await database.dataSource.query('select from audit_entry where actor_id = $1', [ann.accountId])
    expect(length).toBe(1)
  })
})

describe('a secret entry', () => {
  it('is masked in all that a store step answers, and cannot be counted on', async () => {
    await kv.set(ann, entry({ value: 123_456, secret: true }))
    expect(await store.get(run(), 'k')).toBe('***')
    expect(await store.entries(run())).toEqual([{ key: 'k', value: '***' }])
    await expect(store.increment(run(), 'k', 1)).rejects.toThrow("the value of 'k' is a secret")
    await store.set(run(), 'k', 'another one')
    expect(await find()).toMatchObject({ value: null, secret: true })
  })

  it('says what is to be masked: the texts and numbers in it', async () => {
    const secrets = new KvSecrets(database.sql, sealer)
    await kv.set(ann, entry({ value: { pin: 123_456, words: ['open', 'sesame'], on: true, no: null }, secret: true }))
    await kv.set(ann, entry({ key: 'shown', value: 'to everyone' }))
    await kv.set(ann, entry({ key: 'brief', value: 'gone soon', secret: true, ttlSeconds: 1 }))
    clock.advance(60_000)
    const texts = await secrets.texts('default', ann.accountId)
    expect(texts.toSorted()).toEqual(['123456', 'gone soon', 'open', 'sesame'])
    expect(await secrets.texts('other', ann.accountId)).toEqual([])
  })
})
