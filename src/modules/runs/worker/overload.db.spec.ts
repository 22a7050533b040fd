import { Logger } from '@nestjs/common'
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { fakeSteps, graphOf, stepType } from '../../../engine/flow.fake.js'
import { Engine } from '../../../engine/interpreter.js'
import { fakeLanguage } from '../../../engine/language.fake.js'
import { StepRegistry } from '../../../engine/step.js'
import { systemClock } from '../../../platform/clock/clock.js'
import { Hints } from '../../../platform/hints/hints.js'
import { SecretMasker } from '../../../platform/masking/secret-masker.js'
import { RunEvents } from '../events/run-events.js'
import { newRun, newWriter } from '../journal/journal.fake.js'
import { Journal } from '../journal/journal.js'
import { ChildRuns } from '../lineage/child-runs.js'
import { RunEngine } from '../run-engine.js'
import { JournalFull, MemoryExhausted, TooManyStarts } from '../runs.errors.js'
import { RunsQueries } from '../runs.queries.js'

const OUTPUT = 'x'.repeat(1_000_000)

let database: TestDatabase
let engine: RunEngine | undefined
let release = () => {}

beforeAll(async () => {
  Logger.overrideLogger(false)
  database = await testDatabase()
})

afterEach(async () => {
  release()
  await engine?.stop(1_000)
  engine = undefined
})

afterAll(() => database.drop())

it('keeps account of what runs hold, refuses more while it is too much, and lets those under way end', async () => {
  engine = await started()
  const held = newRun()
  await engine.accept(held)
  const { memory } = engine
  await vi.waitUntil(() => memory.weight >= 1_000_000)
  memory.hold(Number.MAX_SAFE_INTEGER)
  await expect(engine.accept(newRun())).rejects.toThrow(MemoryExhausted)
  // One that another process has accepted is left to others, too.
  const queued = newRun({ state: 'queued' })
  const journal = new Journal(database.sql, await newWriter(database))
  await journal.accept(queued)
  engine.lookForWork()
  release()
  await vi.waitUntil(async () => (await stateOf(held.id)) === 'completed')
  await vi.waitUntil(() => memory.weight === Number.MAX_SAFE_INTEGER)
  expect(await stateOf(queued.id)).toBe('queued')
  memory.release(Number.MAX_SAFE_INTEGER)
  await engine.accept(newRun())
  engine.lookForWork()
  await vi.waitUntil(async () => (await stateOf(queued.id)) === 'completed', { timeout: 10_000 })
  await vi.waitUntil(() => memory.weight === 0)
  await journal.close()
})

it('leaves places for others when one account starts very many at once', async () => {
  const journal = new Journal(database.sql, await newWriter(database), { maxAcceptsOfAccount: 50 })
  const many = Array.from({ length: 500 }, () => journal.accept(newRun({ accountId: 'account_busy' })))
  const other = journal.accept(newRun({ accountId: 'account_other' }))
  const results = await Promise.allSettled(many)
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(50)
  expect(results.every((result) => result.status === 'fulfilled' || result.reason instanceof TooManyStarts)).toBe(true)
  expect(await other).toMatchObject({ repeated: false })
  expect(await journal.accept(newRun({ accountId: 'account_busy' }))).toMatchObject({ repeated: false })
  await journal.close()
})

it('stays bounded in a storm of 20,000 starts: each is durable or refused, and the next is taken', async () => {
  const journal = new Journal(database.sql, await newWriter(database), { maxQueued: 1_000, maxAcceptsOfAccount: 800 })
  const accepted: string[] = []
  const refused: unknown[] = []
  let most = 0
  const one = async (number: number) => {
    const run = newRun({ accountId: `account_${number % 4}`, input: { text: 'x'.repeat(500) } })
    try {
      accepted.push((await journal.accept(run)).id)
    } catch (error) {
      refused.push(error)
    }
  }
  const all: Promise<void>[] = []
  for (let number = 0; number < 20_000; number++) {
    all.push(one(number))
    most = Math.max(most, journal.queued)
    // As requests come: many in each turn of the event loop.
    if (number % 200 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all(all)
  expect(accepted.length + refused.length).toBe(20_000)
  expect(refused.length).toBeGreaterThan(0)
  expect(refused.every((error) => error instanceof JournalFull || error instanceof TooManyStarts)).toBe(true)
  expect(most).toBeLessThanOrEqual(1_000)
  const [row] = await database.dataSource.query('select count(*)::integer as count from run where id = any ($1)', [
    accepted,
  ])
  expect(row.count).toBe(accepted.length)
  expect(journal.queued).toBe(0)
  expect(journal.queuedChars).toBe(0)
  expect(await journal.accept(newRun())).toMatchObject({ repeated: false })
  await journal.close()
})

async function started(): Promise<RunEngine> {
  const hints = new Hints([])
  const registry = new StepRegistry([
    ...fakeSteps,
    stepType('hold', (_, { input }) => new Promise((resolve) => (release = () => resolve({ output: input })))),
  ])
  const nodes = {
    large: { type: 'echo', params: { value: OUTPUT }, next: { default: 'hold' } },
    hold: { type: 'hold', next: { default: 'end' } },
    end: { type: 'echo', params: { value: 'done' } },
  }
  const light = { only: { type: 'echo', params: { value: 'done' } } }
  let first = true
  const supplies = {
    children: new ChildRuns(
      database.sql,
      undefined as never,
      new RunsQueries(database.sql),
      undefined as never,
      systemClock,
    ),
    compiled: async () => {
      const graph = graphOf(first ? nodes : light)
      first = false
      return { graph, language: fakeLanguage }
    },
    hostParts: async () => ({
      signals: undefined as never,
      approvals: undefined as never,
      keyValue: async () => undefined,
      secrets: {},
      masker: new SecretMasker([]),
      evaluate: () => Promise.reject(new Error('these flows have no scripts')),
    }),
  }
  const interpreter = new Engine({ registry, checkParams: () => [] })
  const made = new RunEngine(
    database.sql,
    interpreter,
    new RunEvents(database.sql, hints),
    hints,
    supplies,
    systemClock,
    { shutdownGraceMs: 100, workerTags: ['default'], maxActiveRuns: 500 },
  )
  await made.onApplicationBootstrap()
  return made
}

async function stateOf(id: string): Promise<string> {
  const [row] = await database.dataSource.query('select state from run where id = $1', [id])
  return row.state
}
