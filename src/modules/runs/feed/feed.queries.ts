import { BatchedReads } from '../../../platform/database/batched-reads.js'
import type { Sql, Statement } from '../../../platform/database/sql.js'
import { FINAL_STATES } from '../run-state.js'
import type { FeedChunk } from './feed-events.js'

/** What one reading brings: chunks of up to about 100 events each, and about this many characters of them. */
const CHUNKS = 50
const CHUNK_CHARS = 128 * 1024
/** Readings that share a statement. */
const READINGS = 20

/** Which chunks: of an account, or of one run of it; from a position on, up to one that is settled. */
export interface Reading {
  accountId: string
  runId?: string
  from: number
  until: number
}

type Row = FeedChunk & { key: string; more: boolean; flow_id: string | null }

/** Chunks in the order of their positions. Those of runs that are being removed are passed over. */
function chunks(name: string, which: string): Statement {
  return {
    name,
    text: `select asked.key, c.position::float8 as position, c.run_id, c.first_seq, c.entries, c.is_last, c.more, r.flow_id,
      r.state, r.error, r.created_at, r.finished_at,
      c.first_seq in (-1, 1) and exists (select from run_event_chunk o where o.run_id = c.run_id and o.first_seq = 0) as accepted,
      c.first_seq = -1 and exists (
        select from run_event_chunk o where o.run_id = c.run_id and o.first_seq = 1 and o.position < c.position) as begun,
      c.first_seq > 0 and exists (
        select from run_event_chunk o where o.run_id = c.run_id and o.first_seq = -1 and o.position < c.position) as over
    from unnest($1::text[]) as asked (key)
    cross join lateral (
      select split_part(asked.key, ' ', 1)::bigint as first, split_part(asked.key, ' ', 2)::bigint as last,
        split_part(asked.key, ' ', 3) as account_id, split_part(asked.key, ' ', 4) as run_id offset 0) as a
    cross join lateral (
      select *, place = count(*) filter (where before < ${CHUNK_CHARS}) over () and (
          count(*) over () = ${CHUNKS} or count(*) filter (where before < ${CHUNK_CHARS}) over () < count(*) over ()) as more
      from (
        select *, row_number() over (order by position) as place,
          sum(length(entries::text)) over (order by position) - length(entries::text) as before
        from (
          select run_id, first_seq, entries, is_last, position from run_event_chunk as e
          where ${which} and position >= a.first and position <= a.last
          order by position limit ${CHUNKS}) as page) as measured) as c
    left join run r on r.id = c.run_id
    where c.before < ${CHUNK_CHARS}
    order by asked.key, c.position`,
  }
}

const OF_ACCOUNT = chunks('feed_of_account', 'e.account_id = a.account_id')
const OF_RUN = chunks('feed_of_run', 'e.run_id = a.run_id and e.account_id = a.account_id')

const LATEST: Statement = {
  name: 'feed_latest',
  text: `select a.id, coalesce(c.position, 0)::float8 as position from unnest($1::text[]) as a (id)
    left join lateral (
      select position from run_event_chunk where account_id = a.id and position is not null order by position desc limit 1) as c on true`,
}

const PRUNED: Statement = {
  name: 'feed_pruned',
  text: 'select position::float8 as position from run_event_pruned where account_id = $1',
}

const IS_TOLD: Statement = {
  name: 'feed_run_is_told',
  text: `select r.state = any ($3) and not exists (
      select from run_event_chunk c where c.run_id = r.id and c.is_last and c.position >= $2) as told
    from run r where r.id = $1`,
}

/** The tables as the streams of events read them. */
export class FeedQueries {
  private readonly ofAccount: BatchedReads<Row>
  private readonly ofRun: BatchedReads<Row>

  constructor(private readonly sql: Sql) {
    this.ofAccount = new BatchedReads<Row>(sql, OF_ACCOUNT, READINGS)
    this.ofRun = new BatchedReads<Row>(sql, OF_RUN, READINGS)
  }

  /** The next chunks, and whether there may be more behind them. Those who ask for the same at the same time share the reading. */
  async chunks({
    accountId,
    runId,
    from,
    until,
  }: Reading): Promise<{ chunks: FeedChunk[]; last: number; more: boolean }> {
    const rows =
      runId === undefined
        ? await this.ofAccount.rowsOf(`${from} ${until} ${accountId}`)
        : await this.ofRun.rowsOf(`${from} ${until} ${accountId} ${runId}`)
    const chunks = rows.filter((row) => row.flow_id !== null)
    return { chunks, last: rows.at(-1)?.position ?? from - 1, more: rows.at(-1)?.more ?? false }
  }

  /** The position of the last chunk of each account. */
  async latest(accountIds: readonly string[]): Promise<{ id: string; position: number }[]> {
    return await this.sql.query<{ id: string; position: number }>(LATEST, [accountIds])
  }

  /** Up to where events of this account may have been removed. */
  async pruned(accountId: string): Promise<number> {
    const [row] = await this.sql.query<{ position: number }>(PRUNED, [accountId])
    return row?.position ?? 0
  }

  /** Whether nothing is to come of a run from a position on: it has ended, and that was told before, or never will be; or it is gone. */
  async isTold(runId: string, from: number): Promise<boolean> {
    const [row] = await this.sql.query<{ told: boolean }>(IS_TOLD, [runId, from, FINAL_STATES])
    return row?.told ?? true
  }
}
