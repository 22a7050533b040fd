import { Logger } from '@nestjs/common'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import type { EncryptionKey } from '../../platform/config/encryption-keys.js'
import { rotateKeys } from '../../platform/crypto/rotate-keys.js'
import { Sealer } from '../../platform/crypto/sealer.js'
import { AuditEntry } from './audit-entry.entity.js'
import { sealedAuditKey } from './audit-key.js'
import { KEYS, type TrailUnderTest, trailUnderTest } from './audit-trail.fake.js'

/** What whoever has the whole database can do to a trail, and what verifying says of it. */

let database: TestDatabase
let trail: TrailUnderTest
let tenant: string

/** Each story has a database of its own, where one tenant has five entries. */
beforeEach(async () => {
  Logger.overrideLogger(false)
  database = await testDatabase([AuditEntry])
  trail = await trailUnderTest(database)
  tenant = 'tenant_1'
  for (const action of ['a.one', 'a.two', 'a.three', 'a.four', 'a.five'])
    await trail.write(tenant, action, { to: action })
})

afterEach(() => database.drop())

const query = (text: string, values: unknown[] = []) => database.dataSource.query(text, values)
const verify = () => trail.verifier.verify(tenant)

/** As a superuser who knows what stands in the way. */
async function tamper(...statements: string[]): Promise<void> {
  const tables = ['audit_entry', 'audit_seal', 'audit_checkpoint']
  for (const table of tables) await query(`alter table ${table} disable trigger user`)
  for (const statement of statements) await query(statement.replaceAll('$tenant', `'${tenant}'`))
  for (const table of tables) await query(`alter table ${table} enable trigger user`)
}

async function idAt(position: number): Promise<string> {
  const [row] = await query(
    'select id from audit_entry e join audit_seal s on s.seq = e.seq where s.tenant_id = $1 and s.position = $2',
    [tenant, position],
  )
  return row.id
}

const seqAt = (position: number) => `(select seq from audit_seal where tenant_id = $tenant and position = ${position})`

describe('a trail that nobody touched', () => {
  it('is valid, and every entry is sealed once', async () => {
    expect(await verify()).toEqual({ checked: 5 })
    await trail.write(tenant, 'a.six')
    expect(await verify()).toEqual({ checked: 6 })
    expect(await query('select position from audit_seal where tenant_id = $1 order by position', [tenant])).toEqual(
      [1, 2, 3, 4, 5, 6].map((position) => ({ position: String(position) })),
    )
  })

  it('is valid where nothing was ever written', async () => {
    expect(await trail.verifier.verify('tenant_of_nobody')).toEqual({ checked: 0 })
  })

  it('does not mix up tenants', async () => {
    const other = tenant
    tenant = 'tenant_beside'
    await trail.write(tenant, 'b.one')
    await trail.write(other, 'a.six')
    await trail.write(tenant, 'b.two')
    expect(await verify()).toEqual({ checked: 2 })
    expect(await trail.verifier.verify(other)).toEqual({ checked: 6 })
  })
})

describe('tampering by plain SQL', () => {
  beforeEach(() => verify())

  it('finds a changed entry, whatever of it was changed', async () => {
    const changes = [
      "action = 'a.other'",
      "actor_id = 'account_2'",
      'actor_id = null',
      "actor_email = 'b@example.com'",
      "resource_id = 'thing_2'",
      "resource_type = 'other'",
      "outcome = 'failure'",
      "ip = '192.0.2.9'",
      "request_id = 'req_other'",
      "at = at - interval '1 second'",
      `after = '{"to": "a.other"}'`,
      `after = '{"to":  "a.two"}'`,
      'after = null',
      `before = '{}'`,
      "id = 'audit_01K0000000000000000000000'",
    ]
    for (const change of changes) {
      await tamper(`create table kept as select * from audit_entry where seq = ${seqAt(2)}`)
      await tamper(`update audit_entry set ${change} where seq = ${seqAt(2)}`)
      expect(await verify(), change).toMatchObject({ checked: 1, firstBreak: { kind: 'changed', position: 2 } })
      await tamper(`delete from audit_entry where seq = ${seqAt(2)}`)
      await tamper('insert into audit_entry overriding system value select * from kept', 'drop table kept')
      expect(await verify(), change).toEqual({ checked: 5 })
    }
  })

  it('finds an entry that was removed from the middle', async () => {
    await tamper(`delete from audit_entry where seq = ${seqAt(3)}`)
    expect(await verify()).toMatchObject({ checked: 2, firstBreak: { kind: 'removed', position: 3 } })
  })

  it('finds an entry that was removed with its seal', async () => {
    await tamper(
      `delete from audit_entry where seq = ${seqAt(3)}`,
      'delete from audit_seal where tenant_id = $tenant and position = 3',
    )
    expect(await verify()).toMatchObject({ checked: 2, firstBreak: { kind: 'removed', position: 3 } })
  })

  it('finds an entry that was removed with its seal, all seals moved up', async () => {
    await tamper(
      `delete from audit_entry where seq = ${seqAt(3)}`,
      'delete from audit_seal where tenant_id = $tenant and position = 3',
      'update audit_seal set position = position - 1 where tenant_id = $tenant and position = 4',
      'update audit_seal set position = position - 1 where tenant_id = $tenant and position = 5',
    )
    expect(await verify()).toMatchObject({ checked: 2, firstBreak: { kind: 'changed', position: 3 } })
  })

  it('finds that the last entry was removed', async () => {
    await tamper(`delete from audit_entry where seq = ${seqAt(5)}`)
    expect(await verify()).toMatchObject({ checked: 4, firstBreak: { kind: 'removed', position: 5 } })
  })

  it('finds that the last entry was removed with its seal', async () => {
    await tamper(
      `delete from audit_entry where seq = ${seqAt(5)}`,
      'delete from audit_seal where tenant_id = $tenant and position = 5',
    )
    expect(await verify()).toMatchObject({ checked: 4, firstBreak: { kind: 'removed', position: 5 } })
  })

  it('finds that the last entry was removed with its seal and the end put back; and seals nothing behind such an end', async () => {
    await tamper(
      `delete from audit_entry where seq = ${seqAt(5)}`,
      'delete from audit_seal where tenant_id = $tenant and position = 5',
      `update audit_head set position = 4, hash = (select hash from audit_seal where tenant_id = $tenant and position = 4)
         where tenant_id = $tenant`,
    )
    expect(await verify()).toMatchObject({ checked: 4, firstBreak: { kind: 'end_changed' } })
    await trail.write(tenant, 'a.six')
    expect(await verify()).toMatchObject({ checked: 4, firstBreak: { kind: 'end_changed' } })
  })

  it('finds that a whole trail is gone', async () => {
    await tamper(
      'delete from audit_entry where tenant_id = $tenant',
      'delete from audit_seal where tenant_id = $tenant',
      'delete from audit_head where tenant_id = $tenant',
    )
    expect(await verify()).toMatchObject({ checked: 0, firstBreak: { kind: 'end_changed' } })
  })

  it('finds an entry that was forged, at the end, in the past and as a copy of another', async () => {
    const columns = 'tenant_id, at, actor_id, actor_email, action, resource_type, resource_id, outcome, before, after'
    const values = `$tenant, now(), 'account_2', 'b@example.com', 'a.bad', 'thing', 'thing_1', 'success', null, '{}'`
    const forged = { firstBreak: { kind: 'inserted', entryId: 'audit_01K0000000000000000000FORG' } }
    const forge = `insert into audit_entry (id, ${columns}) values ('audit_01K0000000000000000000FORG', ${values})`
    await tamper(forge)
    expect(await verify()).toMatchObject({ checked: 5, ...forged })
    await tamper(`delete from audit_entry where action = 'a.bad'`)
    expect(await verify()).toEqual({ checked: 5 })

    await tamper(`insert into audit_entry (seq, id, ${columns}) overriding system value
      values (-7, 'audit_01K0000000000000000000FORG', ${values})`)
    expect(await verify()).toMatchObject(forged)
    await tamper(`delete from audit_entry where action = 'a.bad'`)

    await tamper(
      'alter table audit_entry drop constraint audit_entry_id_key',
      `insert into audit_entry (id, ${columns}) select id, tenant_id, at, actor_id, actor_email, 'a.bad', resource_type,
         resource_id, outcome, before, after from audit_entry where seq = ${seqAt(2)}`,
    )
    expect(await verify()).toMatchObject({ firstBreak: { kind: 'inserted', entryId: await idAt(2) } })
    await tamper(`delete from audit_entry where action = 'a.bad'`, 'alter table audit_entry add unique (id)')
  })

  it('finds a seal that was forged for a forged entry', async () => {
    await tamper(
      `insert into audit_entry (id, tenant_id, action, resource_type, outcome)
         values ('audit_01K000000000000000000SEALED', $tenant, 'a.bad', 'thing', 'success')`,
      `insert into audit_seal select $tenant, 6, max(seq), '\\x00' from audit_entry`,
      `update audit_head set position = 6, hash = '\\x00' where tenant_id = $tenant`,
    )
    expect(await verify()).toMatchObject({ checked: 5, firstBreak: { kind: 'changed', position: 6 } })
  })

  it('finds two entries that were swapped', async () => {
    await tamper(`create table one as select * from audit_entry where seq = ${seqAt(2)}`)
    await tamper(`create table other as select * from audit_entry where seq = ${seqAt(4)}`)
    await tamper(
      'delete from audit_entry where seq in (select seq from one union select seq from other)',
      'create table numbers as select one.seq as first, other.seq as second from one, other',
      'update one set seq = second from numbers',
      'update other set seq = first from numbers',
      'insert into audit_entry overriding system value select * from one union all select * from other',
      'drop table one, other, numbers',
    )
    expect(await verify()).toMatchObject({ checked: 1, firstBreak: { kind: 'changed', position: 2 } })
  })

  it('finds an entry that was given to another tenant', async () => {
    await tamper(`update audit_entry set tenant_id = 'tenant_elsewhere' where seq = ${seqAt(2)}`)
    expect(await verify()).toMatchObject({ checked: 1, firstBreak: { kind: 'changed', position: 2 } })
    expect(await trail.verifier.verify('tenant_elsewhere')).toMatchObject({ firstBreak: { kind: 'inserted' } })
  })

  it('names the first of several', async () => {
    await tamper(
      `delete from audit_entry where seq = ${seqAt(4)}`,
      `update audit_entry set action = 'a.other' where seq = ${seqAt(2)}`,
    )
    expect(await verify()).toMatchObject({ checked: 1, firstBreak: { position: 2 } })
  })
})

describe('a trail from before entries were signed', () => {
  it('is sealed as it is, and nothing is slipped into it afterwards', async () => {
    await query('delete from audit_key')
    await query('update audit_sealing set mac = null')
    const forge = (seq: number) => `insert into audit_entry (seq, id, tenant_id, action, resource_type, outcome)
      overriding system value values (${seq}, 'audit_of_old_${seq}', $tenant, 'a.old', 'thing', 'success')`
    await tamper(forge(7))
    await query(`select setval(pg_get_serial_sequence('audit_entry', 'seq'), 7)`)
    trail = await trailUnderTest(database)
    await trail.write(tenant, 'a.new')
    expect(await verify()).toEqual({ checked: 7 })
    await tamper(forge(6))
    expect(await verify()).toMatchObject({ firstBreak: { kind: 'inserted', entryId: 'audit_of_old_6' } })
  })
})

describe('the key of a trail', () => {
  it('is kept when ENCRYPTION_KEY changes, and old entries stay valid', async () => {
    const [old, next] = KEYS
    const sealer = new Sealer({ encryptionKeys: [next, old] as EncryptionKey[] })
    for await (const rotation of rotateKeys(database.dataSource, sealer, [sealedAuditKey]))
      expect(rotation).toEqual({ table: 'audit_key', resealed: 1 })
    trail = await trailUnderTest(database, [next] as EncryptionKey[])
    await trail.write(tenant, 'a.six')
    expect(await verify()).toEqual({ checked: 6 })
  })

  it('is needed: with another deployment of the same shape nothing is valid', async () => {
    await verify()
    await query('delete from audit_key')
    trail = await trailUnderTest(database)
    expect(await verify()).toMatchObject({ checked: 0, firstBreak: { position: 1 } })
  })
})

describe('while it is written', () => {
  it('is not sealed twice by two who seal at once', async () => {
    const other = await trailUnderTest(database)
    const writing = Array.from({ length: 60 }, (_, number) => trail.write(tenant, `a.race${number}`))
    const sealing = Array.from({ length: 20 }, (_, number) => (number % 2 ? trail : other).sealer.sealAll())
    await Promise.all([...writing, ...sealing])
    expect(await Promise.all([verify(), other.verifier.verify(tenant)])).toEqual([{ checked: 65 }, { checked: 65 }])
  })

  it('seals entries that commit after others with later numbers, once, and gives up numbers that were rolled back', async () => {
    const late = database.dataSource.createQueryRunner()
    const lost = database.dataSource.createQueryRunner()
    const actor = { tenantId: tenant }
    for (const [runner, action] of [
      [late, 'a.late'],
      [lost, 'a.lost'],
    ] as const) {
      await runner.startTransaction()
      await trail.trail.record(runner.manager, { actor, action, resource: ['thing'] })
    }
    await trail.write(tenant, 'a.early')
    expect(await verify()).toEqual({ checked: 6 })
    await lost.rollbackTransaction()
    await late.commitTransaction()
    expect(await trail.sealer.sealAll()).toBe(1)
    expect(await trail.sealer.sealAll()).toBe(0)
    expect(await verify()).toEqual({ checked: 7 })
    const order = await query(
      'select e.action from audit_seal s join audit_entry e on e.seq = s.seq where s.tenant_id = $1 order by position desc limit 2',
      [tenant],
    )
    expect(order).toEqual([{ action: 'a.late' }, { action: 'a.early' }])
    expect(await query('select from audit_gap')).not.toEqual([])
    await query(`update audit_gap set found_at = found_at - interval '1 minute'`)
    // A gap stays open for as long as a transaction is under way that began before: in whichever database of the server.
    await vi.waitFor(
      async () => {
        await trail.sealer.sealAll()
        expect(await query('select from audit_gap')).toEqual([])
      },
      { timeout: 15_000, interval: 50 },
    )
    await Promise.all([late.release(), lost.release()])
  })

  it('seals also what no round comes to any more', async () => {
    await trail.write(tenant, 'a.six')
    const late = database.dataSource.createQueryRunner()
    await late.startTransaction()
    await trail.trail.record(late.manager, { actor: { tenantId: tenant }, action: 'a.late', resource: ['thing'] })
    await trail.write(tenant, 'a.seven')
    await trail.sealer.sealAll()
    await query('delete from audit_gap')
    await late.commitTransaction()
    await late.release()
    expect(await trail.sealer.sealAll()).toBe(0)
    expect(await verify()).toEqual({ checked: 8 })
  })
})

describe('retention', () => {
  it('removes what is old from the beginning, and the rest is verified from there', async () => {
    await verify()
    const [{ at }] = await query(
      `select at from audit_entry where seq = ${seqAt(3)}`.replaceAll('$tenant', `'${tenant}'`),
    )
    await trail.retention.removeBefore(new Date(at.getTime() + 1))
    const left = await query('select action from audit_entry where tenant_id = $1 order by seq', [tenant])
    expect(left.map((row: { action: string }) => row.action)).toContain('audit.cut')
    expect(left.map((row: { action: string }) => row.action)).not.toContain('a.one')
    const verified = await verify()
    expect(verified).toEqual({ checked: left.length })
  })

  it('removes nothing from a broken trail', async () => {
    await verify()
    await tamper(`update audit_entry set action = 'a.other' where seq = ${seqAt(2)}`)
    await trail.retention.removeBefore(new Date(Date.now() + 60_000))
    expect(await verify()).toMatchObject({ checked: 0, firstBreak: { kind: 'changed', position: 2 } })
  })

  it('is the only way: a checkpoint that was forged to cut is found, and none goes back', async () => {
    await verify()
    await expect(query('delete from audit_entry where tenant_id = $1', [tenant])).rejects.toThrow('append-only')
    await expect(query('delete from audit_seal where tenant_id = $1', [tenant])).rejects.toThrow('append-only')
    await query('select audit_cut($1, 3, (select hash from audit_seal where tenant_id = $1 and position = 3), $2)', [
      tenant,
      Buffer.from('forged'),
    ])
    expect(await verify()).toMatchObject({ checked: 2, firstBreak: { kind: 'beginning_changed' } })
    await expect(query('update audit_checkpoint set position = 1 where tenant_id = $1', [tenant])).rejects.toThrow(
      'append-only',
    )
    await expect(query('delete from audit_checkpoint')).rejects.toThrow('append-only')
  })
})
