import type { Clock } from '../../../platform/clock/clock.js'
import { crashPoint } from '../../../platform/crash-point/crash-point.js'
import type { Sql, Statement } from '../../../platform/database/sql.js'
import type { Hints } from '../../../platform/hints/hints.js'
import { RUN_HINT } from '../run-hints.js'
import type { HandedRun } from '../worker/taken-run.js'
import type { RunQueues } from './run-queues.js'

/** Runs that are handed over in one statement, for each tag. */
const BATCH = 500
/** Between two such statements, so that a busy process hands over many at a time. */
const PAUSE_MS = 5
/** A run that was handed over so long ago and is still queued is taken from the table by whoever has room… */
const LATE_MS = 5_000
/** … and after so long it is handed over once more: the queue may have lost it. */
const AGAIN_MS = 15_000
/** Later than any hand-over. */
const NEVER = new Date('9999-12-31T00:00:00Z')

export interface HandOverParts {
  sql: Sql
  clock: Clock
  hints: Hints
  /** Absent without Redis. */
  queues?: RunQueues
  onError(error: unknown): void
}

/**
 * What becomes of due runs that this process does not take itself. With Redis they go to the Bull queue of their tag: the row is marked
 * first, and what is lost after that is handed over again. Without it, or while it is away, the processes that have such workers are told,
 * and take them from the table. Nobody waits for either.
 */
export class HandOver {
  private readonly asked = new Set<string>()
  private dispatching?: Promise<void>
  private again = false
  private redoAll = false
  /** The account that had the last turn. */
  private lastTurn = ''
  private stopped = false

  constructor(private readonly parts: HandOverParts) {}

  /** Runs with these tags wait for others. */
  offer(tags: Iterable<string>): void {
    for (const tag of tags) this.asked.add(tag)
    this.look()
    if (!this.parts.queues?.isOpen) this.tell()
  }

  /** Hands over what waits, and again what a queue may have lost. */
  look(): void {
    if (this.stopped || !this.parts.queues?.isOpen) return
    this.again = true
    this.dispatching ??= this.dispatchAll().finally(() => {
      this.dispatching = undefined
    })
  }

  /** The queues have just come back, perhaps without what they held. */
  startOver(): void {
    this.redoAll = true
    this.look()
  }

  /** What was handed over before this is taken from the table by whoever has room: everything, while there are no queues. */
  get lateBefore(): Date {
    return this.parts.queues?.isOpen ? this.before(LATE_MS) : NEVER
  }

  /** Whether this process gets its runs from queues, and takes from the table only what is late. */
  get isFedByQueues(): boolean {
    const { queues } = this.parts
    return queues?.areTaken === true && queues.isOpen
  }

  async stop(): Promise<void> {
    this.stopped = true
    await this.dispatching
  }

  private async dispatchAll(): Promise<void> {
    // What this turn of the event loop offers goes together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.again && !this.stopped && this.parts.queues?.isOpen) {
      this.again = false
      try {
        await this.dispatch(this.parts.queues)
      } catch (error) {
        this.parts.onError(error)
        this.tell()
      }
      if (this.again) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }

  private async dispatch(queues: RunQueues): Promise<void> {
    const { sql, clock } = this.parts
    const now = clock.now()
    const lostBefore = this.redoAll ? now : this.before(AGAIN_MS)
    this.redoAll = false
    const rows = await sql.query<DispatchRow>(DISPATCH, [now, lostBefore, BATCH, this.lastTurn])
    this.lastTurn = rows.at(-1)?.account ?? this.lastTurn
    crashPoint('outbox-before-queue')
    const byTag = Map.groupBy(rows, (row) => row.worker_tag)
    const added = [...byTag].map(async ([tag, runs]) => {
      if (!(await queues.add(tag, runs.map(toHanded)))) {
        await sql.query(TAKE_BACK, [runs.map((run) => run.run_id), now])
        return
      }
      this.asked.delete(tag)
      if (runs.length >= BATCH) this.again = true
    })
    await Promise.all(added)
    // What remains is taken from no queue, or it is full.
    this.tell()
  }

  private tell(): void {
    for (const tag of this.asked) this.parts.hints.send(RUN_HINT.due, tag)
    this.asked.clear()
  }

  private before(ms: number): Date {
    return new Date(this.parts.clock.now().getTime() - ms)
  }
}

interface DispatchRow {
  run_id: string
  run_epoch: number
  worker_tag: string
  account: string
}

const DISPATCH: Statement = { name: 'run_dispatch', text: 'select * from run_dispatch($1, $2, $3, $4)' }

const TAKE_BACK: Statement = {
  name: 'run_take_back',
  text: `update run set dispatched_at = null where id = any ($1) and state = 'queued' and dispatched_at = $2`,
}

function toHanded(row: DispatchRow): HandedRun {
  return { runId: row.run_id, epoch: row.run_epoch }
}
