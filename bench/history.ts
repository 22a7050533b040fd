import pg from 'pg'

/**
 * What a history is made of: mostly completed runs of a few flows, one in twenty failed. However long it is, twelve runs wait, twelve are
 * cancelled, all of one flow, and one flow has twelve runs: a full page of each, to be found among a thousand or a million others.
 */
const FLOWS = 4
const RARE = 12
const OTHER_ACCOUNTS = 10

/**
 * Fills the tables with runs of the last twenty days, each with its outcomes and events, a tenth of them of other accounts. The indexes
 * of `run` are made anew after it: a row at a time would take several times as long.
 */
export async function seedHistory(databaseUrl: string, runs: number): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query('set synchronous_commit = off')
    await client.query(`select run_partitions(now() - interval '4 weeks', 6)`)
    const { rows: accounts } = await client.query<{ id: string }>('select id from account limit 1')
    const { rows: indexes } = await client.query<{ name: string; definition: string }>(
      `select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition
        from pg_index where indrelid = 'run'::regclass and not indisprimary`,
    )
    for (const { name } of indexes) await client.query(`drop index ${name}`)
    await client.query(SEED_RUNS, [runs, accounts[0]?.id, FLOWS, OTHER_ACCOUNTS])
    for (const { definition } of indexes) await client.query(definition)
    await client.query(SEED_OUTCOMES)
    await client.query(SEED_EVENTS)
    await client.query('vacuum analyze')
  } finally {
    await client.end()
  }
}

/** A ULID of a time, and of a number for its random part: hexadecimal digits are letters of ULIDs too. */
const ULID = `(
  select string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', ((ms >> (5 * (9 - digit))) & 31)::integer + 1, 1), '' order by digit)
  from generate_series(0, 9) as digit) || lpad(upper(to_hex(i)), 16, '0')`

const SEED_RUNS = `
  insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, result, error, created_at, finished_at)
  select 'run_' || ${ULID}, 'default',
    case when is_other then 'account_other_' || i / 10 % $4::integer else $2::text end,
    case when is_other then 'flow_other_' || i / 10 % $4::integer
      when rare = 1 then 'flow_rare' when rare = 2 then 'flow_1' else 'flow_' || i % $3::integer end,
    1, state, 'api', '{"n":1}', case when state = 'completed' then '{"n":1}'::json end,
    case when state = 'failed' then '{"message":"HTTP request failed with status 500","code":"http_status"}'::json end, at,
    case when state <> 'waiting' then at + interval '40 ms' end
  from (
    select i, at, (extract(epoch from at) * 1000)::bigint as ms, i % 10 = 0 as is_other, rare,
      case when rare = 3 then 'waiting' when rare = 2 then 'cancelled' when i % 21 = 4 then 'failed' else 'completed' end as state
    from (
      select i, i % ($1::integer / ${RARE}) as rare, date_trunc('milliseconds', now() - interval '20 days' * (1 - i / $1::float8)) as at
      from generate_series(1, $1::integer) as i where i % ($1::integer / ${RARE}) not in (1, 2, 3) or i % 10 <> 0) as numbered
  ) as run`

const SEED_OUTCOMES = `
  insert into step_outcome (run_id, path, attempt, node, node_type, state, action, output, started_at, finished_at)
  select id, path, 1, path, 'transform', 'succeeded', 'default', '{"n":1}', created_at, created_at
  from run cross join (values ('n0'), ('n1')) as step (path)`

const SEED_EVENTS = `
  insert into run_event_chunk (run_id, first_seq, last_seq, entries)
  select id, 1, 2, json_build_array(
    json_build_object('seq', 1, 'type', 'node_started', 'node', 'n0', 'nodeType', 'transform', 'at', created_at),
    json_build_object('seq', 2, 'type', 'node_completed', 'node', 'n0', 'nodeType', 'transform', 'at', created_at, 'path', 'n0',
      'attempt', 1))
  from run`
