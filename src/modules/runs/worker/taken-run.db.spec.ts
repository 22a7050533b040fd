import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { newId } from '../../../platform/ids.js'
import { claimDueRuns, retakeRuns } from './taken-run.js'

let database: TestDatabase
const owner = { id: newId('engine'), fence: 0 }

beforeAll(async () => {
  database = await testDatabase()
  const [{ fence }] = await database.dataSource.query(
    `insert into engine_instance (id, host, pid, lease_until) values ($1, 'here', 1, now() + interval '1 hour') returning fence`,
    [owner.id],
  )
  owner.fence = fence
})

afterAll(() => database.drop())

async function runWith(outcomes: [path: string, state: string][]): Promise<string> {
  const id = newId('run')
  await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, owner, created_at)
      values ($1, 'default', 'account_1', 'flow_1', 1, 'running', 'api', '{}', $2, now())`,
    [id, owner.id],
  )
  await database.dataSource.query(
    `insert into step_outcome (run_id, path, attempt, node, node_type, state, output, started_at, finished_at)
      select $1, path, 1, 'node', 'type', state, '"output"', now(), now() from unnest($2::text[], $3::text[]) as x (path, state)`,
    [id, outcomes.map(([path]) => path), outcomes.map(([, state]) => state)],
  )
  return id
}

let seq = 0

async function tell(runId: string, type: string, paths: string[]): Promise<void> {
  const first = seq + 1
  const entries = paths.map((path) => ({ seq: ++seq, type, path }))
  await database.dataSource.query(
    'insert into run_event_chunk (run_id, account_id, first_seq, last_seq, entries) values ($1, $2, $3, $4, $5)',
    [runId, 'account_1', first, seq, JSON.stringify(entries)],
  )
}

describe('a run that is taken', () => {
  it('comes with the items of the batch that goes on, not with those of batches that are settled', async () => {
    const mine: [string, string][] = [
      ['each[]', 'succeeded'],
      ['each[0]', 'succeeded'],
      ['each', 'succeeded'],
      ['each#2[0]', 'failed'],
      ['each#2', 'failed'],
      ['each#3[0]', 'succeeded'],
      ['each#3[1]', 'retrying'],
      ['other', 'succeeded'],
    ]
    const other: [string, string][] = [['each[0]', 'succeeded']]
    const ids = [await runWith(mine), await runWith(other)]
    const taken = await retakeRuns(database.sql, owner, ids)
    const paths = ids.map((id) =>
      taken
        .find((run) => run.id === id)
        ?.history.map(({ path }) => path)
        .sort(),
    )
    expect(paths).toEqual([['each', 'each#2', 'each#3[0]', 'each#3[1]', 'other'], ['each[0]']])
  })

  it('knows whose beginnings were told, and which ends its lost process told nobody', async () => {
    const id = await runWith([
      ['told', 'succeeded'],
      ['failed told', 'failed'],
      ['succeeded', 'succeeded'],
      ['failed', 'failed'],
      ['each[0]', 'failed'],
      ['again', 'retrying'],
    ])
    await tell(id, 'node_started', ['told', 'failed told', 'failed', 'again'])
    await tell(id, 'node_completed', ['told'])
    await tell(id, 'node_failed', ['failed told'])
    const [run] = await retakeRuns(database.sql, owner, [id])
    expect([...(run?.toldStarts ?? [])].sort()).toEqual(['again', 'failed', 'failed told', 'told'])
    expect(run?.untold.map(({ path }) => path).sort()).toEqual(['failed', 'succeeded'])
  })

  it('numbers its events from 1, also where a cancel came between its claim and the look at its past', async () => {
    const id = await runWith([])
    await database.dataSource.query(
      `insert into run_event_chunk (run_id, account_id, first_seq, last_seq, entries, is_last)
        values ($1, 'account_1', -1, -1, '[]', true)`,
      [id],
    )
    const [run] = await retakeRuns(database.sql, owner, [id])
    expect(run?.lastSeq).toBe(0)
  })

  it('knows whose beginnings were told, also where it was only put aside', async () => {
    const id = await runWith([])
    await tell(id, 'node_started', ['hold'])
    await database.dataSource.query(`update run set state = 'queued', owner = null, wake_at = now() where id = $1`, [
      id,
    ])
    const now = new Date(Date.now() + 1_000)
    const quotas = [{ account: 'account_1', quota: 1 }]
    const where = { tags: ['default'], lateBefore: now, fresh: true, suspects: 0 }
    const [run] = await claimDueRuns(database.sql, owner, { quotas, now, ...where })
    expect(run?.id).toBe(id)
    expect([...(run?.toldStarts ?? [])]).toEqual(['hold'])
  })
})
