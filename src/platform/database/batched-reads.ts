import type { QueryResultRow } from 'pg'
import type { Sql, Statement } from './sql.js'

/** Keys of one statement: enough that its price per key is the key's own, few enough that it stays short. */
const MAX_KEYS = 500
/** Statements under way at a time: a second one, so that a connection that hangs does not hold up everybody. */
const LANES = 2

interface Asked<Row> {
  promise: Promise<readonly Row[]>
  resolve(rows: readonly Row[]): void
  reject(error: unknown): void
}

/**
 * Reads by key that many callers make at the same time, as few statements: whatever is asked for while others are under way travels
 * together in the next, so an idle process waits for one answer and a busy one shares it among hundreds. Nothing is kept: an answer is
 * read after it was asked for, so it is as fresh as a statement of one's own.
 *
 * The statement takes the keys as `$1::text[]` and names each row's in the column `key`.
 */
export class BatchedReads<Row extends QueryResultRow & { key: string }> {
  private waiting = new Map<string, Asked<Row>>()
  private underWay = 0
  private gathering = false

  constructor(
    private readonly sql: Sql,
    private readonly statement: Statement,
    private readonly maxKeys = MAX_KEYS,
  ) {}

  /**
   * The rows with this key, in the statement's order. PostgreSQL has no text with U+0000: such a key names nothing, and must not fail the
   * statement of all who ask beside it.
   */
  rowsOf(key: string): Promise<readonly Row[]> {
    if (key.includes('\0')) return Promise.resolve([])
    let asked = this.waiting.get(key)
    if (!asked) {
      asked = Promise.withResolvers<readonly Row[]>()
      this.waiting.set(key, asked)
    }
    this.gather()
    return asked.promise
  }

  /** Everything that this turn of the event loop asks for travels together. */
  private gather(): void {
    if (this.gathering || this.underWay === LANES) return
    this.gathering = true
    setImmediate(() => {
      this.gathering = false
      void this.read()
    })
  }

  private async read(): Promise<void> {
    if (this.waiting.size === 0) return
    const batch = this.take()
    this.underWay++
    try {
      const rows = await this.sql.query<Row>(this.statement, [[...batch.keys()]])
      const rowsOf = Map.groupBy(rows, (row) => row.key)
      for (const [key, asked] of batch) asked.resolve(rowsOf.get(key) ?? [])
    } catch (error) {
      for (const asked of batch.values()) asked.reject(error)
    } finally {
      this.underWay--
      if (this.waiting.size > 0) this.gather()
    }
  }

  private take(): Map<string, Asked<Row>> {
    const all = this.waiting
    this.waiting = new Map([...all].slice(this.maxKeys))
    return all.size <= this.maxKeys ? all : new Map([...all].slice(0, this.maxKeys))
  }
}
