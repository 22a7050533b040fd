import { setTimeout as delay } from 'node:timers/promises'
import { LOCKS } from '../../../platform/database/advisory-locks.js'
import type { Sql, Statement } from '../../../platform/database/sql.js'

/** How soon it looks again whether the transactions of the moment are over: about as long as a commit takes, then less often. */
const LOOK_MS = [1, 2, 4, 8, 16, 32]

const LAST: Statement = {
  name: 'event_position_last',
  text: 'select case when is_called then last_value else 0 end::float8 as last from run_event_position',
}

/** Who may still commit chunks under positions that were given out. */
const WRITERS: Statement = {
  name: 'event_position_writers',
  text: `select virtualtransaction as writer from pg_locks
    where locktype = 'advisory' and classid = ${LOCKS.positions} and objid = 0
      and database = (select oid from pg_database where datname = current_database())`,
}

/**
 * Up to which position the sequence of event chunks is settled: what is there up to it is all that there will ever be. A sequence gives
 * positions out before the commit, so a later one may be seen before an earlier one. Each transaction that takes positions holds a
 * shared lock from before the first until after its commit; so once everybody is gone who held it after a position was the last, nothing
 * is to come at or before it. The locks are this database's and only such transactions hold them: other long transactions delay nothing.
 */
export class Horizon {
  constructor(private readonly sql: Sql) {}

  /** The last position that was given out. What is handed in from now on comes behind it. */
  async last(): Promise<number> {
    const [row] = await this.sql.query<{ last: number }>(LAST)
    return row?.last ?? 0
  }

  /** A settled position, at or behind everything that was committed before it was asked. */
  async settle(signal: AbortSignal): Promise<number> {
    const last = await this.last()
    let pending = await this.writers()
    for (let look = 0; pending.size > 0; look++) {
      await delay(LOOK_MS[Math.min(look, LOOK_MS.length - 1)], undefined, { signal })
      const now = await this.writers()
      pending = new Set([...pending].filter((writer) => now.has(writer)))
    }
    return last
  }

  private async writers(): Promise<Set<string>> {
    const rows = await this.sql.query<{ writer: string }>(WRITERS)
    return new Set(rows.map(({ writer }) => writer))
  }
}
