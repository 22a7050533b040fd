import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { type FakeNode, fakeSteps } from '../../../engine/flow.fake.js'
import { newId } from '../../../platform/ids.js'
import type { WatchedEvent } from '../events/run-events.js'
import { type EngineProcess, engineProcess } from '../run-engine.fake.js'

let database: TestDatabase
let running: EngineProcess | undefined

const graphs = new Map<string, Record<string, FakeNode>>([
  [
    'flow_f',
    {
      first: { type: 'echo', params: { value: 1 }, next: { default: 'bad' } },
      bad: { type: 'fail', params: { message: 'no luck' }, next: { error: 'last' } },
      last: { type: 'echo', params: { value: 'end' } },
    },
  ],
])

beforeAll(async () => {
  database = await testDatabase()
})

afterEach(() => running?.engine.stop(0))

afterAll(() => database.drop())

it('what a process had recorded and told nobody is told by the next, failures too, and nothing twice', async () => {
  const id = newId('run')
  await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, wake_at, created_at, recoveries)
      values ($1, 'tenant_t', 'account_a', 'flow_f', 1, 'queued', 'api', '{}', now(), now() - interval '1 minute', 1)`,
    [id],
  )
  await database.dataSource.query(
    `insert into step_outcome (run_id, path, attempt, node, node_type, state, output, error, started_at, finished_at) values
      ($1, 'first', 1, 'first', 'echo', 'succeeded', '1', null, now(), now()),
      ($1, 'bad', 1, 'bad', 'fail', 'failed', null, '{"message": "no luck", "code": "step_failed"}', now(), now() + interval '1 ms')`,
    [id],
  )
  await database.dataSource.query(
    `insert into run_event_chunk (run_id, account_id, first_seq, last_seq, entries) values ($1, 'account_a', 1, 2, $2)`,
    [
      id,
      JSON.stringify([
        { seq: 1, type: 'log', level: 'info', message: 'Run started', at: new Date() },
        { seq: 2, type: 'node_started', node: 'first', nodeType: 'echo', path: 'first', at: new Date() },
      ]),
    ],
  )
  running = await engineProcess({ sql: database.sql, steps: fakeSteps, graphs })
  const told: string[] = []
  for await (const event of running.events.follow(id, 0, AbortSignal.timeout(15_000))) told.push(wordOf(event))
  expect(told).toEqual([
    'Run started',
    'node_started first',
    'node_completed first',
    'node_started bad',
    'node_failed bad no luck',
    'error: no luck',
    'node_started last',
    'node_completed last',
    'Run completed',
    'ended',
  ])
})

function wordOf(event: WatchedEvent): string {
  switch (event.type) {
    case 'log':
      return event.level === 'error' ? `error: ${event.message}` : (event.message ?? '')
    case 'ended':
      return 'ended'
    case 'node_failed':
      return `node_failed ${event.node} ${event.message}`
    default:
      return `${event.type} ${event.node}`
  }
}
