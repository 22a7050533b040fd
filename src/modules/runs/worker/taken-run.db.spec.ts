import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { newId } from '../../../platform/ids.js'
import { retakeRuns } from './taken-run.js'

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
})
