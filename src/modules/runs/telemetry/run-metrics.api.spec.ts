import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../../test/support/api.js'
import { FlowRunnerUser } from '../../../../test/support/flowrunner-user.js'
import { RunEngine } from '../run-engine.js'

let api: ApiUnderTest
let user: FlowRunnerUser

beforeAll(async () => {
  api = await apiUnderTest()
  user = await FlowRunnerUser.login(api)
})

afterAll(() => api.close())

/** The value of a sample by its name and labels; 0 where there is none yet. */
async function value(sample: string): Promise<number> {
  const { text } = await user.get('/metrics').expect(200)
  const line = text.split('\n').find((one) => one.startsWith(`${sample} `))
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ')))
}

const becomes = (sample: string, wanted: number) =>
  vi.waitFor(async () => expect(await value(sample), sample).toBe(wanted), { interval: 50 })

/** What the samples have become by more than they were before: what was counted for earlier tests is none of this one's. */
async function growth(samples: readonly string[], work: () => Promise<void>) {
  const before = new Map<string, number>()
  for (const sample of samples) before.set(sample, await value(sample))
  await work()
  return async (sample: string) => (await value(sample)) - (before.get(sample) ?? Number.NaN)
}

const grownBy = (grown: (sample: string) => Promise<number>, sample: string, wanted: number) =>
  vi.waitFor(async () => expect(await grown(sample), sample).toBe(wanted), { interval: 50 })

const WELL = { only: { type: 'transform', params: { script: 'return 1' } } }
const BADLY = {
  only: { type: 'transform', params: { script: 'throw new Error("no")' }, retry: { max_retries: 3, wait: '1ms' } },
}
const LONG = { only: { type: 'delay', params: { duration: '1h' } } }
const DURATIONS = 'millrace_run_duration_seconds_sum{state="completed"}'

async function threeWellOneBadly(): Promise<void> {
  for (let round = 0; round < 3; round++) await user.outcome(WELL)
  await user.outcome(BADLY)
}

describe('/metrics', () => {
  it('counts what was accepted and how it ended, with how long it took', async () => {
    const expected = {
      'millrace_runs_finished_total{state="completed"}': 3,
      'millrace_runs_finished_total{state="failed"}': 1,
      'millrace_runs_accepted_total{trigger="api"}': 4,
      'millrace_run_duration_seconds_count{state="completed"}': 3,
      millrace_run_queue_wait_seconds_count: 4,
    }
    const grown = await growth([...Object.keys(expected), DURATIONS], threeWellOneBadly)
    for (const [sample, by] of Object.entries(expected)) await grownBy(grown, sample, by)
    expect(await grown(DURATIONS)).toBeGreaterThan(0)
    expect(await grown(DURATIONS)).toBeLessThan(60)
  })

  it('counts attempts at steps by type and what came of them, retries apart', async () => {
    const attempts = (state: string) => `millrace_step_duration_seconds_count{type="transform",state="${state}"}`
    const grown = await growth(['succeeded', 'retrying', 'failed'].map(attempts), threeWellOneBadly)
    await grownBy(grown, attempts('succeeded'), 3)
    await grownBy(grown, attempts('retrying'), 2)
    await grownBy(grown, attempts('failed'), 1)
  })

  it('shows what waits, in this process and in the queue of all', async () => {
    const [parked, cancelled, waiting] = [
      'millrace_runs_unloaded_total{reason="parked"}',
      'millrace_runs_finished_total{state="cancelled"}',
      'millrace_queue_runs{state="waiting"}',
    ] as const
    // The database is asked at most every five seconds, and what it said before stands so long.
    await becomes(waiting, 0)
    let id = ''
    const grown = await growth([parked, cancelled], async () => {
      id = await user.start(await user.flow(LONG))
    })
    await grownBy(grown, parked, 1)
    await becomes('millrace_runs_active', 0)
    await becomes(waiting, 1)
    expect(await value('millrace_queue_runs{state="queued"}')).toBe(0)
    expect(await value('millrace_queue_oldest_due_seconds')).toBe(0)
    expect(await value('millrace_dead_letters')).toBe(0)
    expect(await value('millrace_runs_room')).toBeGreaterThan(0)
    await user.delete(`/api/v1/executions/${id}`).expect(200)
    await grownBy(grown, cancelled, 1)
  })

  it('shows the journal and the lease', async () => {
    expect(await value('millrace_journal_flush_records_count')).toBeGreaterThan(0)
    expect(await value('millrace_journal_flush_records_sum')).toBeGreaterThanOrEqual(
      await value('millrace_journal_flush_records_count'),
    )
    expect(await value('millrace_journal_flush_duration_seconds_sum')).toBeGreaterThan(0)
    expect(await value('millrace_journal_written_characters_total')).toBeGreaterThan(500)
    await becomes('millrace_journal_queued_records', 0)
    const lease = await value('millrace_lease_remaining_seconds')
    expect(lease).toBeGreaterThan(0)
    expect(lease).toBeLessThanOrEqual(15)
    expect(await value('millrace_engine_ready')).toBe(1)
  })

  it('counts what the sandbox evaluates', async () => {
    const evaluated = (result: string) => `millrace_sandbox_evaluations_total{result="${result}"}`
    const grown = await growth(['ok', 'script_error'].map(evaluated), threeWellOneBadly)
    await grownBy(grown, evaluated('ok'), 3)
    await grownBy(grown, evaluated('script_error'), 3)
    expect(await value('millrace_sandbox_waiting')).toBe(0)
  })

  it('names no id, no flow and nothing that users typed', async () => {
    const { text } = await user.get('/metrics').expect(200)
    expect(text).not.toMatch(/run_[0-9A-Z]{26}|flow_[0-9A-Z]{26}|account_[0-9A-Z]{26}|"Spec"|"only"/)
  })

  it('says that no runs are taken once the engine has stopped', async () => {
    await api.app.get(RunEngine).stop(0)
    expect(await value('millrace_engine_ready')).toBe(0)
  })
})
