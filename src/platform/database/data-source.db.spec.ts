import { DataSource, type MigrationInterface, type QueryRunner } from 'typeorm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { emptyDatabase } from '../../../test/support/database.js'
import { runFromSource } from '../../../test/support/process.js'
import { migrations } from '../../migrations/index.js'
import { databaseIsUp, dataSourceOptions, migrate } from './data-source.js'

let database: Awaited<ReturnType<typeof emptyDatabase>>
let opened: DataSource[]

beforeEach(async () => {
  database = await emptyDatabase()
  opened = []
})

afterEach(async () => {
  for (const dataSource of opened) if (dataSource.isInitialized) await dataSource.destroy()
  await database.drop()
})

async function open(list: (new () => MigrationInterface)[] = migrations): Promise<DataSource> {
  const connection = { url: database.url, poolSize: 4, applicationName: 'millrace test' }
  const dataSource = await new DataSource({ ...dataSourceOptions(connection), migrations: list }).initialize()
  opened.push(dataSource)
  return dataSource
}

class First0000000000001 implements MigrationInterface {
  up = async (runner: QueryRunner) => void (await runner.query('create table first (id int)'))
  down = async () => {}
}

class Second0000000000002 implements MigrationInterface {
  up = async (runner: QueryRunner) => {
    await runner.query('create table second (id int)')
    await runner.query('select 1 / 0')
  }
  down = async () => {}
}

describe('migrating', () => {
  it('runs what is missing, in order, once', async () => {
    const said: string[] = []
    expect(await migrate(await open([First0000000000001]), (line) => said.push(line))).toEqual(['First0000000000001'])
    expect(await migrate(await open([First0000000000001]), (line) => said.push(line))).toEqual([])
    expect(said).toEqual(['migrating the database'])
  })

  it('takes back a migration that fails, keeps those before it, and lets the next process in', async () => {
    const dataSource = await open([Second0000000000002, First0000000000001])
    await expect(migrate(dataSource)).rejects.toThrow(/division by zero/)
    expect(await dataSource.query(`select to_regclass('first') as first, to_regclass('second') as second`)).toEqual([
      { first: 'first', second: null },
    ])
    expect(await migrate(await open([First0000000000001]))).toEqual([])
  })

  it('runs each once when several processes start together', async () => {
    const script = `
      import 'reflect-metadata'
      const { DatabaseServer } = await import(${JSON.stringify(new URL('database-server.ts', import.meta.url).href)})
      const server = await DatabaseServer.open({ databaseUrl: ${JSON.stringify(database.url)}, dataDir: '/nonexistent' })
      await server.close()
      console.log('ready')`
    const started = Array.from({ length: 4 }, () => runFromSource(['--input-type=module', '-e', script]))
    const ends = await Promise.all(started.map(({ ended }) => ended))
    expect(ends.map(({ output, errors }) => output + errors)).toEqual(ends.map(() => 'ready\n'))
    const rows = await (await open()).query('select name from migrations order by id')
    expect(rows).toEqual(migrations.map(({ name }) => ({ name })))
  })
})

it('lists the migrations in the order in which they run', () => {
  const numbers = migrations.map(({ name }) => Number(name.slice(-13)))
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
  expect(numbers).not.toContain(Number.NaN)
})

describe('the health of the database', () => {
  it('is up while it answers and down once it is gone', async () => {
    const dataSource = await open()
    expect(await databaseIsUp(dataSource)).toBe(true)
    await database.drop()
    expect(await databaseIsUp(dataSource)).toBe(false)
    await dataSource.destroy()
    expect(await databaseIsUp(dataSource)).toBe(false)
  })

  it('is down when the answer takes too long', async () => {
    const dataSource = await open()
    const sleeping = Array.from({ length: 4 }, () => dataSource.query('select pg_sleep(30)').catch(() => 'ended'))
    expect(await databaseIsUp(dataSource, 50)).toBe(false)
    await database.drop()
    expect(await Promise.all(sleeping)).toEqual(['ended', 'ended', 'ended', 'ended'])
  })
})
