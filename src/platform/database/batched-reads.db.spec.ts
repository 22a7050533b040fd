import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { BatchedReads } from './batched-reads.js'
import { Sql, type Statement } from './sql.js'

const STATEMENT: Statement = {
  name: 'things_by_key',
  text: 'select key, n from thing where key = any ($1::text[]) order by key, n',
}

/** Counts the statements and lets one wait. */
class WatchedSql {
  asked: string[][] = []
  gate: Promise<void> = Promise.resolve()

  constructor(private readonly sql: Sql) {}

  query = async (statement: Statement, values: unknown[]) => {
    this.asked.push(values[0] as string[])
    await this.gate
    return await this.sql.query(statement, values)
  }
}

let database: TestDatabase
let sql: WatchedSql
let reads: BatchedReads<{ key: string; n: number }>

beforeAll(async () => {
  database = await testDatabase()
  await database.dataSource.query(`create table thing (key text, n integer);
    insert into thing select 'k' || (i % 1000), i from generate_series(0, 1999) i`)
})

afterAll(() => database.drop())

beforeEach(() => {
  sql = new WatchedSql(database.sql)
  reads = new BatchedReads(sql as unknown as Sql, STATEMENT)
})

const numbers = (rows: readonly { n: number }[]) => rows.map(({ n }) => n)

describe('reads that are asked for together', () => {
  it('are one statement, and each gets its own rows', async () => {
    const [one, other, none] = await Promise.all([reads.rowsOf('k1'), reads.rowsOf('k2'), reads.rowsOf('nothing')])
    expect([numbers(one), numbers(other), numbers(none)]).toEqual([[1, 1001], [2, 1002], []])
    expect(sql.asked).toEqual([['k1', 'k2', 'nothing']])
  })

  it('ask for a key once', async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => reads.rowsOf('k7')))
    expect(answers.map(numbers)).toEqual(Array.from({ length: 5 }, () => [7, 1007]))
    expect(sql.asked).toEqual([['k7']])
  })

  it('are several statements when they are very many', async () => {
    const answers = await Promise.all(Array.from({ length: 1_000 }, (_, key) => reads.rowsOf(`k${key}`)))
    expect(answers.map((rows) => rows[0]?.n)).toEqual(Array.from({ length: 1_000 }, (_, key) => key))
    expect(sql.asked.length).toBeGreaterThan(1)
    expect(sql.asked.length).toBeLessThan(5)
  })

  it('do not fail for one that no text of the database can hold', async () => {
    const [one, impossible] = await Promise.all([reads.rowsOf('k1'), reads.rowsOf('k\0')])
    expect([numbers(one), impossible]).toEqual([[1, 1001], []])
  })

  it('fail together, and those that come later do not', async () => {
    sql.gate = Promise.reject(new Error('the connection was lost'))
    sql.gate.catch(() => {})
    const answers = await Promise.allSettled([reads.rowsOf('k1'), reads.rowsOf('k2')])
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    sql.gate = Promise.resolve()
    expect(numbers(await reads.rowsOf('k1'))).toEqual([1, 1001])
  })
})

it('answers as of after the question: never with what is already under way', async () => {
  let open = () => {}
  sql.gate = new Promise((resolve) => {
    open = resolve
  })
  const early = reads.rowsOf('k5')
  await expect.poll(() => sql.asked.length).toBe(1)
  const late = reads.rowsOf('k5')
  await expect.poll(() => sql.asked.length).toBe(2)
  const later = [reads.rowsOf('k5'), reads.rowsOf('k6')]
  open()
  expect((await Promise.all([early, late, ...later])).map((rows) => rows.length)).toEqual([2, 2, 2, 2])
  expect(sql.asked).toEqual([['k5'], ['k5'], ['k5', 'k6']])
})
