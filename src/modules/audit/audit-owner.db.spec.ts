import { readFileSync } from 'node:fs'
import { DataSource } from 'typeorm'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { connectionSettings, dataSourceOptions } from '../../platform/database/data-source.js'
import { Sql } from '../../platform/database/sql.js'
import { AuditEntry } from './audit-entry.entity.js'
import { type TrailUnderTest, trailUnderTest } from './audit-trail.fake.js'

/** The trail in the hands of a role of its own, as `docs/audit-owner.sql` leaves it, and the program as the role that it left. */

const APP = `millrace_test_app_${process.pid}`
const OWNER = `millrace_test_owner_${process.pid}`

let database: TestDatabase
let app: { dataSource: DataSource; sql: Sql }
let trail: TrailUnderTest

beforeAll(async () => {
  database = await testDatabase([AuditEntry])
  const asSuperuser = (text: string) => database.dataSource.query(text)
  await asSuperuser(`create role ${APP} login password 'app'`)
  await asSuperuser(`grant create, usage on schema public to ${APP}`)
  await asSuperuser(`grant all on all tables in schema public to ${APP}`)
  const script = readFileSync(new URL('../../../docs/audit-owner.sql', import.meta.url), 'utf8')
  await asSuperuser(script.replaceAll(':"app"', APP).replaceAll(':"owner"', OWNER))
  const url = new URL(database.url)
  url.username = APP
  url.password = 'app'
  const connection = { url: url.href, poolSize: 3, applicationName: 'millrace test' }
  const dataSource = new DataSource({ ...dataSourceOptions(connection), entities: [AuditEntry] })
  app = { dataSource: await dataSource.initialize(), sql: new Sql(connectionSettings(connection)) }
  trail = await trailUnderTest(app)
})

afterAll(async () => {
  await app.dataSource.destroy()
  await app.sql.close()
  await database.dataSource.query(`drop owned by ${APP}, ${OWNER}`)
  await database.dataSource.query(`drop role ${APP}, ${OWNER}`)
  await database.drop()
})

it('lets the program write, seal, verify, and remove what is old', async () => {
  for (const action of ['a.one', 'a.two', 'a.three']) await trail.write('tenant_1', action)
  expect(await trail.verifier.verify('tenant_1')).toEqual({ checked: 3 })
  expect(await trail.retention.removeBefore(new Date(Date.now() + 60_000))).toBe(3)
  expect(await trail.verifier.verify('tenant_1')).toEqual({ checked: 1 })
})

it('lets it do nothing else', async () => {
  const refused = [
    `update audit_entry set action = 'x'`,
    'delete from audit_entry',
    'truncate audit_entry',
    'delete from audit_seal',
    `update audit_seal set hash = '\\x00'`,
    'delete from audit_checkpoint',
    'update audit_checkpoint set position = 9',
    'alter table audit_entry disable trigger all',
    'drop trigger audit_entry_cut on audit_entry',
    'drop table audit_entry',
    'create or replace function audit_is_append_only() returns trigger language plpgsql as $$ begin return null; end $$',
    'set session_replication_role = replica',
    `set role ${OWNER}`,
  ]
  for (const statement of refused)
    await expect(app.dataSource.query(statement), statement).rejects.toThrow(/permission denied|must be owner/)
})
