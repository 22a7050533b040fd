import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { type FakeNode, fakeSteps, stepType } from '../../../engine/flow.fake.js'
import { newId } from '../../../platform/ids.js'
import { type EngineProcess, engineProcess } from '../run-engine.fake.js'

let database: TestDatabase
let running: EngineProcess | undefined
/** The runs whose step does not end, by themselves. */
const held = new Set<string>()

const hold = stepType('hold', async (_, step) => {
  held.add(step.run.id)
  await new Promise((_, reject) => step.signal.addEventListener('abort', () => reject(step.signal.reason)))
  return { output: null }
})

const graphs = new Map<string, Record<string, FakeNode>>([
  [
    'flow_further',
    { first: { type: 'echo', params: { value: 1 }, next: { default: 'hold' } }, hold: { type: 'hold' } },
  ],
  ['flow_nowhere', { hold: { type: 'hold' } }],
])

beforeAll(async () => {
  database = await testDatabase()
})

afterEach(async () => {
  await running?.engine.stop(0)
  held.clear()
  await database.dataSource.query('delete from run')
})

afterAll(() => database.drop())

it('a run that was lost again and again keeps others like it waiting only until it gets further', async () => {
  const ids = await suspects('flow_further', 5)
  running = await engineProcess({ sql: database.sql, steps: [...fakeSteps, hold], graphs })
  await vi.waitUntil(() => held.size === ids.length, { timeout: 10_000 })
})

it('a run that was lost again and again and gets no further is alone', async () => {
  await suspects('flow_nowhere', 5)
  running = await engineProcess({ sql: database.sql, steps: [...fakeSteps, hold], graphs })
  await vi.waitUntil(() => held.size === 1, { timeout: 10_000 })
  // Whatever else is due is claimed, and none of the others.
  const [innocent] = await suspects('flow_further', 1, 0)
  running.engine.lookForWork()
  await vi.waitUntil(() => held.has(innocent as string), { timeout: 10_000 })
  expect(held.size).toBe(2)
})

async function suspects(flowId: string, count: number, stalls = 2): Promise<string[]> {
  const ids = Array.from({ length: count }, () => newId('run'))
  await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, wake_at, created_at, stalls)
      select id, 'tenant_t', 'account_a', $2, 1, 'queued', 'api', '{}', now(), now(), $3 from unnest($1::text[]) as id`,
    [ids, flowId, stalls],
  )
  return ids
}
