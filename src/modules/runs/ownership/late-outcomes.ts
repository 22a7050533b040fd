import type { StepOutcome } from '../../../engine/host.js'
import type { Sql, Statement } from '../../../platform/database/sql.js'

export interface LateOutcome extends Pick<StepOutcome, 'path' | 'attempt' | 'state'> {
  runId: string
}

/** Outcomes of one lost claim that are kept. */
const MOST = 1_000
const KEEP_DAYS = 30
const RETRY_MS = 2_000
const ATTEMPTS = 30

/**
 * The outcomes that a process held when it lost its claim: too late to count, since others go on with its runs from what is recorded, but
 * kept so that an effect that happened twice can be explained. Written past the fence, without outputs, and only as well as possible.
 */
export class LateOutcomes {
  private held: LateOutcome[] = []
  private left = MOST
  private writing?: Promise<void>

  constructor(
    private readonly sql: Sql,
    /** The claim that was lost. */
    private readonly engine: string,
    private readonly say: (words: string) => void,
  ) {}

  keep(outcome: LateOutcome): void {
    if (this.left-- <= 0) return
    this.held.push(outcome)
    this.writing ??= this.writeAll().finally(() => {
      this.writing = undefined
    })
  }

  private async writeAll(): Promise<void> {
    // What is refused at the same time travels together.
    await new Promise((resolve) => setImmediate(resolve))
    for (let attempt = 1; this.held.length > 0; attempt++) {
      const batch = this.held
      this.held = []
      try {
        await this.sql.query(KEEP, [this.engine, JSON.stringify(batch), KEEP_DAYS])
        this.say(
          `${batch.length} outcomes came after the lease of ${this.engine} was lost: kept in late_outcome, not counted`,
        )
      } catch (error) {
        if (attempt >= ATTEMPTS) return this.say(`late outcomes could not be kept: ${(error as Error).message}`)
        this.held.unshift(...batch)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
  }
}

const KEEP: Statement = {
  name: 'late_outcome_keep',
  text: `with pruned as (delete from late_outcome where at < now() - make_interval(days => $3))
    insert into late_outcome (run_id, path, attempt, engine, state, at)
      select "runId", path, attempt, $1, state, now()
      from json_to_recordset($2) as x ("runId" text, path text, attempt integer, state text)
      on conflict do nothing`,
}
