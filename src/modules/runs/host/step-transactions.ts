import { setTimeout as delay } from 'node:timers/promises'
import type { OpenedStep, StepOutcome } from '../../../engine/host.js'
import { StepError, type Transaction } from '../../../engine/step.js'
import { crashPoint } from '../../../platform/crash-point/crash-point.js'
import { LOCKS } from '../../../platform/database/advisory-locks.js'
import type { Sql, SqlSession, Statement } from '../../../platform/database/sql.js'
import { transactionOf } from '../../steps/transactions.js'
import { FLUSH_ARGUMENTS, flushLists, rowsOf, valuesOf } from '../journal/flush.js'
import { isRefusal } from '../journal/journal.js'
import type { JournalRecord, Writer } from '../journal/records.js'
import type { LargeValues } from '../journal/spills.js'
import { LeaseLost } from '../runs.errors.js'
import { Turns } from './turns.js'

/** The part of the pool's connections that steps may hold at the same time: hooks run in them, so one may last as long as a script may. */
const SHARE = 0.4
const REPEAT_MS = [20, 50, 100, 250, 500, 1_000]
/** How long the work in a transaction may take. The server ends a transaction that is silent for longer: its process may be frozen. */
const WORK_MS = 25_000
/** How long a cancel may take to be heard of, after which the run counts as another process's. */
const HEARD_MS = 3_000

/** Two transactions of one attempt, of which one is lost, are not under way together. */
const BEGIN: Statement = {
  name: 'step_begin',
  text: `select set_config('idle_in_transaction_session_timeout', '30s', true),
    pg_advisory_xact_lock(${LOCKS.step}, hashtext($1))`,
}
const FIND: Statement = {
  name: 'step_find',
  text: 'select 1 as found from step_outcome where run_id = $1 and path = $2 and attempt = $3',
}
/** By the journal's own function, under its fence; and only while the run is this process's, which a cancel ends. */
const RECORD: Statement = {
  name: 'step_record',
  text: `with held as materialized (
      select 1 from run where id = $12 and owner = $1 and epoch = $13 and state = 'running' for key share)
    select journal_write(${FLUSH_ARGUMENTS}) as answer from held`,
}

export interface StepOf extends OpenedStep {
  run: { id: string; tenantId: string; accountId: string; epoch: number }
}

type Work = (transaction: Transaction) => Promise<StepOutcome>

/**
 * Steps whose effect is SQL on this platform's database: what they write and their outcome are one transaction, so that both are there or
 * neither is. A transaction that comes to nothing by no fault of the step is begun again; one whose commit was not answered is looked
 * for first, behind a lock that it holds until it is over.
 */
export class StepTransactions {
  private readonly turns: Turns

  constructor(
    private readonly sql: Sql,
    private readonly owner: Writer,
    /** Without it every value stays in its row. */
    private readonly values?: LargeValues,
  ) {
    this.turns = Turns.share(sql.size, SHARE)
  }

  /** Throws what `work` throws, `LeaseLost` when the run is not this process's any more, or the signal's reason. */
  async run(step: StepOf, work: Work, signal: AbortSignal): Promise<StepOutcome> {
    return await this.turns.take(step.run.accountId, signal, () => this.untilDone(step, work, signal))
  }

  private async untilDone(step: StepOf, work: Work, signal: AbortSignal): Promise<StepOutcome> {
    const noted = new NotedWork(work)
    for (let failures = 0; ; failures++) {
      signal.throwIfAborted()
      try {
        const outcome = await this.once(step, noted)
        crashPoint('commit-before-resolve')
        return outcome
      } catch (error) {
        if (error instanceof LeaseLost) await delay(HEARD_MS, undefined, { signal }).catch(() => {})
        signal.throwIfAborted()
        if (error instanceof LeaseLost || noted.isOwn(error) || isRefusal(error)) throw error
        await delay(REPEAT_MS[Math.min(failures, REPEAT_MS.length - 1)], undefined, { signal }).catch(() => {})
      }
    }
  }

  private async once({ run, path, attempt }: StepOf, work: NotedWork): Promise<StepOutcome> {
    return await this.sql.transaction(async (tx) => {
      await tx.query(BEGIN, [`${run.id} ${path}`])
      const before = work.outcome
      if (before && (await tx.query(FIND, [run.id, path, attempt])).length > 0) return before
      const outcome = await work.do(tx)
      crashPoint('effect-before-journal')
      const lists = await this.listsOf(run, outcome)
      const [row] = await tx.query<{ answer: { fenced?: boolean } }>(RECORD, [
        this.owner.id,
        this.owner.fence,
        ...lists,
        run.id,
        run.epoch,
      ])
      if (!row || row.answer.fenced) throw new LeaseLost()
      return outcome
    })
  }

  private async listsOf({ id, tenantId }: StepOf['run'], outcome: StepOutcome): Promise<(string | null)[]> {
    const record: JournalRecord = { kind: 'outcome', runId: id, tenantId, outcome }
    const values = valuesOf(record)
    const kept = this.values?.hasLarge(values) ? await this.values.spilled(tenantId, values) : values
    return flushLists(rowsOf(record, kept))
  }
}

/** A step's work, which tells its own failures from those of the database under it. */
class NotedWork {
  /** Of the last time; whether it was committed is another matter. */
  outcome?: StepOutcome
  private failure?: { error: unknown }
  private readonly passing = new WeakSet<object>()

  constructor(private readonly work: Work) {}

  async do(tx: SqlSession): Promise<StepOutcome> {
    this.outcome = undefined
    this.failure = undefined
    const session = new LimitedSession(tx)
    try {
      this.outcome = await inTime(this.work(transactionOf(this.noting(session))))
      return this.outcome
    } catch (error) {
      this.failure = { error }
      throw error
    } finally {
      session.isOver = true
    }
  }

  /** True for what the step threw, unless the database was away or another transaction in the way. */
  isOwn(error: unknown): boolean {
    return this.failure?.error === error && !this.passing.has(error as object)
  }

  private noting(session: SqlSession): SqlSession {
    return {
      query: async (statement, values) => {
        try {
          return await session.query(statement, values)
        } catch (error) {
          if (error instanceof Error && !isRefusal(error)) this.passing.add(error)
          throw error
        }
      },
    }
  }
}

/** A transaction's session, until that is over: work that was left behind must not write on a connection that serves others by then. */
class LimitedSession implements SqlSession {
  isOver = false

  constructor(private readonly tx: SqlSession) {}

  async query<Row extends object>(statement: Statement, values?: unknown[]): Promise<Row[]> {
    if (this.isOver) throw new StepError('the transaction of this step is over', { retryable: false })
    return await this.tx.query<Row>(statement, values)
  }
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const error = new StepError(`the step and its hooks took longer than ${WORK_MS / 1_000} s`, { code: 'timeout' })
    timer = setTimeout(reject, WORK_MS, error)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
