import { DataSource } from 'typeorm'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { testConfig } from '../../../test/support/config.js'
import { emptyDatabase } from '../../../test/support/database.js'
import { GroupsAndScopedEntries0000000000013 } from '../../migrations/0013-groups-and-scoped-entries.js'
import { migrations } from '../../migrations/index.js'
import { systemClock } from '../../platform/clock/clock.js'
import { Sealer } from '../../platform/crypto/sealer.js'
import { connectionSettings, dataSourceOptions } from '../../platform/database/data-source.js'
import { Sql } from '../../platform/database/sql.js'
import { KvStore } from './kv-store.js'
import { sealEntries } from './seal-entries.js'

const run = { id: 'run_1', flowId: 'flow_1', tenantId: 'default', accountId: 'account_1' }
const sealer = new Sealer(testConfig())
let database: Awaited<ReturnType<typeof emptyDatabase>>
let dataSource: DataSource
let sql: Sql
let store: KvStore

beforeAll(async () => {
  database = await emptyDatabase()
  const connection = { url: database.url, poolSize: 3, applicationName: 'millrace test' }
  const before = migrations.slice(0, migrations.indexOf(GroupsAndScopedEntries0000000000013))
  dataSource = new DataSource({ ...dataSourceOptions(connection), migrations: before })
  await dataSource.initialize()
  await dataSource.runMigrations({ transaction: 'each' })
  sql = new Sql(connectionSettings(connection))
  store = new KvStore(sql, sealer, systemClock)
})

afterAll(async () => {
  await sql.close()
  await dataSource.destroy()
  await database.drop()
})

it('seals what was stored before values were, and takes nothing from it meanwhile', async () => {
  await dataSource.query(
    `insert into kv_entry (account_id, key, value) select 'account_1', 'k' || n, to_json(n) from generate_series(1, 450) as n`,
  )
  await dataSource.query(`insert into kv_entry (account_id, key, value) values ('account_1', 'text', '{"a":  "ü"}')`)
  const runner = dataSource.createQueryRunner()
  await new GroupsAndScopedEntries0000000000013().up(runner)
  await runner.release()
  expect(await store.get(run, 'k7')).toBe(7)
  expect(await store.increment(run, 'k7', 1)).toBe(8)
  await Promise.all([sealEntries(dataSource, sealer), sealEntries(dataSource, sealer)])
  expect(await dataSource.query(`select from kv_entry where key_id <> 'test'`)).toEqual([])
  expect(await store.get(run, 'text')).toEqual({ a: 'ü' })
  expect(await store.get(run, 'k7')).toBe(8)
  expect(await store.entries(run)).toHaveLength(451)
  await sealEntries(dataSource, sealer)
})

it('can be undone but for what is sealed', async () => {
  const runner = dataSource.createQueryRunner()
  await dataSource.query(
    `insert into kv_entry (id, tenant_id, account_id, scope, scope_key, key, key_id, sealed, created_at)
     values ('kv_1', 'default', 'account_2', 'global', '', 'plain', '', '"text"', now())`,
  )
  await new GroupsAndScopedEntries0000000000013().down(runner)
  expect(await runner.query('select account_id, key, value from kv_entry')).toEqual([
    { account_id: 'account_2', key: 'plain', value: 'text' },
  ])
  await new GroupsAndScopedEntries0000000000013().up(runner)
  await runner.release()
})
