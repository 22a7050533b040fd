import pg from 'pg'
import type { Sql, SqlSession, Statement } from './sql.js'

/**
 * One connection outside the pools, so that nobody else's work stands in its way. For one statement at a time. It is opened by the first
 * statement; one that breaks fails its statement, and the next statement opens another.
 */
export class LastingConnection implements SqlSession {
  private client?: Promise<pg.Client>

  constructor(
    private readonly sql: Sql,
    private readonly applicationName: string,
  ) {}

  async query<Row extends pg.QueryResultRow>(statement: Statement, values: unknown[] = []): Promise<Row[]> {
    this.client ??= this.open()
    const opening = this.client
    try {
      const client = await opening
      return (await client.query<Row>({ ...statement, values })).rows
    } catch (error) {
      // What the database answers leaves the connection usable, unless it says that it ends it.
      if (!(error instanceof pg.DatabaseError) || /^(08|57)/.test(error.code ?? '')) this.discard(opening)
      throw error
    }
  }

  async close(): Promise<void> {
    const client = this.client
    this.client = undefined
    await (await client?.catch(() => undefined))?.end().catch(() => {})
  }

  private async open(): Promise<pg.Client> {
    const client = this.sql.client(this.applicationName)
    await client.connect()
    const opened = this.client
    // A break while nothing is asked: the next statement shall not meet it.
    client.on('end', () => this.discard(opened))
    return client
  }

  private discard(broken: Promise<pg.Client> | undefined): void {
    if (this.client !== broken) return
    this.client = undefined
    broken?.then((client) => client.end()).catch(() => {})
  }
}
