import type { DataSource } from 'typeorm'
import { newId } from '../../../platform/ids.js'

export interface QueuedRun {
  account?: string
  state?: 'queued' | 'running' | 'waiting'
  owner?: string
  tag?: string
  priority?: number
  wakeAt?: Date | null
  key?: string
  limit?: number
  stalls?: number
  epoch?: number
  dispatchedAt?: Date
}

/** Puts runs into the table as if they had been accepted, in this order. */
export async function queueRuns(database: DataSource, runs: readonly QueuedRun[]): Promise<string[]> {
  const rows = runs.map((run) => ({
    id: newId('run'),
    account_id: run.account ?? 'account_a',
    state: run.state ?? 'queued',
    owner: run.owner,
    tag: run.tag ?? 'default',
    priority: run.priority ?? 0,
    wake_at: run.wakeAt === undefined ? (run.key === undefined ? new Date() : null) : run.wakeAt,
    concurrency_key: run.key,
    concurrency_limit: run.key === undefined ? undefined : (run.limit ?? 1),
    stalls: run.stalls ?? 0,
    epoch: run.epoch ?? 0,
    dispatched_at: run.dispatchedAt,
  }))
  await database.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, trigger, input, created_at, state, owner, tag, priority, wake_at,
        concurrency_key, concurrency_limit, stalls, epoch, dispatched_at)
      select id, 'tenant_t', account_id, 'flow_f', 1, 'api', '{}', now(), state, owner, tag, priority, wake_at, concurrency_key,
        concurrency_limit, stalls, epoch, dispatched_at
      from json_to_recordset($1) as x (id text, account_id text, state text, owner text, tag text, priority smallint, wake_at timestamptz,
        concurrency_key text, concurrency_limit integer, stalls smallint, epoch integer, dispatched_at timestamptz)`,
    [JSON.stringify(rows)],
  )
  return rows.map(({ id }) => id)
}

/** So many runs that stand in the way of nobody: of another tag, and held back by one key. */
export async function queueBacklog(database: DataSource, count: number): Promise<void> {
  await database.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, trigger, input, created_at, state, tag, wake_at, concurrency_key,
        concurrency_limit)
      select 'run_0' || kind || lpad(n::text, 12, '0'), 'tenant_t', 'account_a', 'flow_f', 1, 'api', '{}', now(), 'queued',
        case kind when 'tag' then 'elsewhere' else 'default' end, case kind when 'tag' then now() end,
        case kind when 'key' then 'backlog' end, case kind when 'key' then 1 end
      from generate_series(1, $1) as n cross join unnest(array['tag', 'key']) as kind`,
    [count],
  )
  await database.query('analyze run')
}

/** So many runs of one account that are due, of which the database's statistics do not know yet. */
export async function queueFlood(database: DataSource, account: string, count: number): Promise<void> {
  await database.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, trigger, input, created_at, state, wake_at)
      select 'run_0' || $1 || lpad(n::text, 12, '0'), 'tenant_t', $1, 'flow_f', 1, 'api', '{}', now() - interval '1 hour', 'queued',
        now() - interval '1 hour'
      from generate_series(1, $2) as n`,
    [account, count],
  )
}
