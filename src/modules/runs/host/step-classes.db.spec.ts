import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { testConfig } from '../../../../test/support/config.js'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { type FakeNode, graphOf, Later, stepType } from '../../../engine/flow.fake.js'
import type { RunEnding } from '../../../engine/host.js'
import { Engine } from '../../../engine/interpreter.js'
import { fakeLanguage } from '../../../engine/language.fake.js'
import { StepRegistry } from '../../../engine/step.js'
import { systemClock } from '../../../platform/clock/clock.js'
import { Sealer } from '../../../platform/crypto/sealer.js'
import { newId } from '../../../platform/ids.js'
import { SecretMasker } from '../../../platform/masking/secret-masker.js'
import { cron } from '../../../steps/cron.js'
import { store } from '../../../steps/store.js'
import { KvStore } from '../../kv/kv-store.js'
import { SchedulesOfFlows } from '../../schedules/flow-schedules.js'
import { Journal } from '../journal/journal.js'
import type { Writer } from '../journal/records.js'
import { UNMEASURED } from '../telemetry/run-telemetry.js'
import { retakeRuns } from '../worker/taken-run.js'
import { RunHost, type RunHostParts } from './run-host.js'
import { StepTransactions } from './step-transactions.js'

let database: TestDatabase
let entries: KvStore
let schedules: SchedulesOfFlows
let owner: Writer
let journal: Journal
let runId: string
const accountId = 'account_classes'
/** What the outside world saw, by idempotency key. */
let effects: string[] = []
/** The middle of each effect. */
let middle: (signal: AbortSignal) => Promise<void> = async () => {}

const effect = stepType(
  'effect',
  async (_, step) => {
    effects.push(step.idempotencyKey)
    await middle(step.signal)
    return { output: 'done' }
  },
  { stepClass: 'effect' },
)

beforeAll(async () => {
  database = await testDatabase()
  entries = new KvStore(database.sql, new Sealer(testConfig()), systemClock)
  schedules = new SchedulesOfFlows(database.sql, systemClock)
  const id = newId('engine')
  const [{ fence }] = await database.dataSource.query(
    `insert into engine_instance (id, host, pid, lease_until) values ($1, 'here', 1, now() + interval '1 hour') returning fence`,
    [id],
  )
  owner = { id, fence }
  journal = new Journal(database.sql, owner)
  await database.dataSource.query(
    `insert into account (id, tenant_id, email, name, role, password_hash, created_at, updated_at)
      values ($1, 'default', 'a@example.com', 'Somebody', 'user', 'no password fits this', now(), now())`,
    [accountId],
  )
  await database.dataSource.query(
    `insert into flow (id, tenant_id, account_id, name, version, revision, created_at, updated_at)
      values ('flow_1', 'default', $1, 'A flow', '1', 1, now(), now())`,
    [accountId],
  )
})

beforeEach(async () => {
  effects = []
  middle = async () => {}
  runId = newId('run')
  await database.dataSource.query('delete from kv_entry')
  await database.dataSource.query('delete from schedule')
  await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, owner, created_at)
      values ($1, 'default', $2, 'flow_1', 1, 'running', 'api', '{}', $3, now())`,
    [runId, accountId, owner.id],
  )
})

afterAll(async () => {
  await journal.close()
  await database.drop()
})

/** A process that is lost right after its first transaction was committed. */
class LostAfterCommit extends StepTransactions {
  override async run(...args: Parameters<StepTransactions['run']>): Promise<never> {
    await super.run(...args)
    throw new Error('the process is gone')
  }
}

/** Takes the run up as it stands in the tables, and interprets it to its end or to that of the process. */
async function interpret(
  nodes: Record<string, FakeNode>,
  { transactions = new StepTransactions(database.sql, owner), signal = new AbortController().signal } = {},
): Promise<RunEnding> {
  const [run] = await retakeRuns(database.sql, owner, [runId])
  if (!run) throw new Error('the run is not to be had')
  const unused = 'these flows need none of it' as unknown
  const parts: RunHostParts = {
    clock: systemClock,
    journal,
    transactions,
    events: { watched: () => false, published() {} } as unknown as RunHostParts['events'],
    children: { settled: async () => {} } as unknown as RunHostParts['children'],
    signals: unused as RunHostParts['signals'],
    approvals: unused as RunHostParts['approvals'],
    keyValue: () => Promise.reject(unused),
    evaluate: () => Promise.reject(unused),
    secrets: {},
    masker: new SecretMasker([]),
    watch: UNMEASURED.taken(run),
    hold() {},
    gotFurther() {},
    onError: expect.unreachable,
  }
  const registry = new StepRegistry([
    store(entries),
    cron(schedules),
    effect,
    stepType('end', () => ({ output: 'end' })),
  ])
  return await new Engine({ registry, checkParams: () => [] }).interpret(
    {
      run: { id: run.id, flowId: run.flowId, tenantId: run.tenantId, accountId: run.accountId },
      graph: graphOf(nodes),
      language: fakeLanguage,
      input: run.input,
      history: run.history,
      opened: run.opens,
    },
    new RunHost(run, parts),
    signal,
  )
}

const counter = () => entries.get({ id: runId, flowId: 'flow_1', tenantId: 'default', accountId }, 'counter')
const outcomes = async (): Promise<{ path: string; state: string; action: string | null }[]> =>
  await database.dataSource.query('select path, state, action from step_outcome where run_id = $1 order by path', [
    runId,
  ])

describe('a stored value', () => {
  const flow: Record<string, FakeNode> = {
    count: { type: 'store', params: { operation: 'increment', key: 'counter' }, next: { default: 'read' } },
    read: { type: 'store', params: { operation: 'get', key: 'counter' } },
  }

  it('changes once though the process is lost between the commit and what follows from it', async () => {
    await expect(interpret(flow, { transactions: new LostAfterCommit(database.sql, owner) })).rejects.toThrow('gone')
    expect(await counter()).toBe(1)
    expect(await interpret(flow)).toMatchObject({ state: 'completed', result: { result: 1 } })
    expect(await counter()).toBe(1)
    expect((await outcomes()).map(({ path }) => path)).toEqual(['count', 'read'])
  })

  it('changes once for each item of a batch, however often the process is lost', async () => {
    const each: Record<string, FakeNode> = {
      count: {
        type: 'store',
        params: { operation: 'increment', key: 'counter', items: Array.from({ length: 8 }, () => 1) },
        batch: { strategy: 'parallel', maxParallel: 3 },
      },
    }
    let lost = 0
    const once = () => interpret(each, { transactions: new LostAfterCommit(database.sql, owner) })
    while ((await outcomes()).length < 8) {
      await expect(once()).rejects.toThrow('gone')
      lost++
    }
    expect(lost).toBeGreaterThan(2)
    expect(await interpret(each)).toMatchObject({ state: 'completed' })
    expect(await counter()).toBe(8)
  })

  it('does not change when the step fails, which is an outcome of its own', async () => {
    const failing: Record<string, FakeNode> = {
      set: { type: 'store', params: { operation: 'set', key: 'counter', value: 'text' }, next: { default: 'count' } },
      count: { type: 'store', params: { operation: 'increment', key: 'counter' }, next: { error: 'end' } },
      end: { type: 'end' },
    }
    expect(await interpret(failing)).toMatchObject({ state: 'completed', result: { result: 'end' } })
    expect(await counter()).toBe('text')
    expect((await outcomes()).map(({ path, state }) => `${path} ${state}`)).toEqual([
      'count failed',
      'end succeeded',
      'set succeeded',
    ])
  })
})

describe('a schedule', () => {
  it('is made together with the outcome of its step', async () => {
    const flow: Record<string, FakeNode> = {
      plan: { type: 'cron', params: { schedule: '0 9 * * *', id: 'daily', node_id: 'end' }, next: { default: 'end' } },
      end: { type: 'end' },
    }
    const ours = async () => (await database.dataSource.query('select id from schedule')).length
    await expect(interpret(flow, { transactions: new LostAfterCommit(database.sql, owner) })).rejects.toThrow('gone')
    expect([await ours(), (await outcomes()).length]).toEqual([1, 1])
    expect(await interpret(flow)).toMatchObject({ state: 'completed' })
    expect(await ours()).toBe(1)
  })
})

describe('a step that may run at most once', () => {
  const flow: Record<string, FakeNode> = {
    once: {
      type: 'effect',
      guarantee: 'at_most_once',
      retry: { maxAttempts: 3, waitMs: 1 },
      next: { unknown: 'end', error: 'once' },
    },
    end: { type: 'end' },
  }

  it('has an unknown outcome when its process is lost in the middle, and is not repeated', async () => {
    const crash = new AbortController()
    const started = new Later()
    middle = async (signal) => {
      started.resolve()
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
    const lost = interpret(flow, { signal: crash.signal })
    await started.promise
    expect(await database.dataSource.query('select path, attempt from step_open where run_id = $1', [runId])).toEqual([
      { path: 'once', attempt: 1 },
    ])
    crash.abort()
    await lost
    expect(await interpret(flow)).toMatchObject({ state: 'completed', result: { result: 'end' } })
    expect(effects).toEqual([`${runId}:once`])
    expect(await outcomes()).toEqual([
      { path: 'end', state: 'succeeded', action: null },
      { path: 'once', state: 'failed', action: 'unknown' },
    ])
  })

  it('is tried again after a failure that is known', async () => {
    middle = async () => {
      if (effects.length < 3) throw new Error('refused')
    }
    expect(await interpret(flow)).toMatchObject({ state: 'completed', result: { result: 'done' } })
    expect(effects).toHaveLength(3)
    const opened = await database.dataSource.query('select attempt from step_open where run_id = $1 order by attempt', [
      runId,
    ])
    expect(opened).toEqual([{ attempt: 1 }, { attempt: 2 }, { attempt: 3 }])
  })
})
