import type { Sql, Statement } from '../../../platform/database/sql.js'

/** What waits, in all processes together. */
export interface QueueDepth {
  /** May be taken at once. */
  queued: number
  /** A process has them. */
  running: number
  /** Parked on a timer or a signal. */
  waiting: number
  /** Those of the queued that a Bull queue was told of. */
  handedOver: number
  /** Held back by the limit of their concurrency key. */
  held: number
  /** Taken over again and again without getting further, and given up until an operator acts. */
  dead: number
  /** How long the longest has been due. */
  oldestSeconds: number
}

/** Counting ends here, so that a scrape costs some milliseconds also with a million of them: 40 ms with 400,000, on a busy machine. */
const MOST = 20_000
/** Several scrapers are answered by one question. */
const KEEP_MS = 5_000
/** A database that does not answer must not hold up what this process knows by itself. */
const PATIENCE_MS = 3_000

/** Along the partial indexes, which hold what waits and no history, whatever the planner makes of its statistics. */
const CAREFULLY: Statement = {
  name: 'run_queue_depth_settings',
  text: `select set_config('enable_seqscan', 'off', true), set_config('max_parallel_workers_per_gather', '0', true),
    set_config('statement_timeout', '${PATIENCE_MS}', true)`,
}

const some = (columns: string, where: string) =>
  `(select ${columns} from run where ${where} limit ${MOST}) as some_runs`
const counted = (where: string) => `(select count(*)::integer from ${some('', where)})`
const oldest = (where: string) => `(select min(wake_at) from ${some('wake_at', `wake_at is not null and ${where}`)})`

/** Runs that wait for a signal and nothing else are in no index of theirs, but what they wait for is. */
const WAITING_FOR_SIGNALS = `(select count(distinct id)::integer from (
    select r.id from signal_wait w join run r on r.id = w.run_id
    where w.delivered_at is null and r.state = 'waiting' and r.wake_at is null limit ${MOST}) as some_runs)`

const DEPTH: Statement = {
  name: 'run_queue_depth',
  text: `select
    ${counted(`state = 'queued' and wake_at is not null and stalls < 2`)}
      + ${counted(`state = 'queued' and wake_at is not null and stalls >= 2`)} as queued,
    ${counted(`state = 'running'`)} as running,
    ${counted(`state = 'waiting' and wake_at is not null`)} + ${WAITING_FOR_SIGNALS} as waiting,
    ${counted(`concurrency_key is not null and state = 'queued' and wake_at is null`)} as held,
    ${counted('dead')} as dead,
    ${counted(`state = 'queued' and dispatched_at is not null`)} as "handedOver",
    coalesce(greatest(0, extract(epoch from now() - least(
      ${oldest(`state = 'queued' and stalls < 2`)},
      ${oldest(`state = 'queued' and stalls >= 2`)},
      (select min(wake_at) from run where state = 'waiting' and wake_at is not null)))), 0)::float8 as "oldestSeconds"`,
}

/** Asks the database how much waits, when somebody wants to know and at most every few seconds. */
export class QueueDepths {
  private known?: Promise<QueueDepth>
  private until = 0

  constructor(private readonly sql: Sql) {}

  /** Rejects while the database does not answer. */
  now(): Promise<QueueDepth> {
    if (!this.known || performance.now() > this.until) {
      this.until = performance.now() + KEEP_MS
      this.known = this.inTime()
      // An answer that failed is not kept.
      this.known.catch(() => {
        this.until = 0
      })
    }
    return this.known
  }

  private async inTime(): Promise<QueueDepth> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('the database does not answer')), PATIENCE_MS)
    })
    try {
      return await Promise.race([this.ask(), late])
    } finally {
      clearTimeout(timer)
    }
  }

  private async ask(): Promise<QueueDepth> {
    return await this.sql.transaction(async (tx) => {
      await tx.query(CAREFULLY)
      const [depth] = await tx.query<QueueDepth & object>(DEPTH)
      return depth as QueueDepth
    })
  }
}
