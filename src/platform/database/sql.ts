import pg from 'pg'

/** One SQL text with a name, under which each connection parses and plans it once. */
export interface Statement {
  name: string
  text: string
}

/** Where statements run: the pool (each on any connection), or one transaction. */
export interface SqlSession {
  query<Row extends pg.QueryResultRow>(statement: Statement, values?: unknown[]): Promise<Row[]>
}

/** How busy the connections of a pool are. */
export type PoolLoad = Readonly<Pick<pg.Pool, 'totalCount' | 'idleCount' | 'waitingCount'>>

/**
 * Postgres without TypeORM, for hot paths: named statements are parsed once per connection, which halves the server's work. A
 * pool of its own, so that requests that wait for TypeORM's connections do not hold up the journal.
 */
export class Sql implements SqlSession {
  private readonly pool: pg.Pool

  constructor(private readonly settings: pg.PoolConfig) {
    this.pool = new pg.Pool({ ...settings, onConnect: byIndex })
    // An idle connection that breaks is replaced by the pool; the next query reports what matters.
    this.pool.on('error', () => {})
  }

  get load(): PoolLoad {
    return this.pool
  }

  /** How many connections the pool has at most. */
  get size(): number {
    return this.pool.options.max
  }

  async query<Row extends pg.QueryResultRow>(statement: Statement, values: unknown[] = []): Promise<Row[]> {
    return (await this.pool.query<Row>({ ...statement, values })).rows
  }

  /** Commits what `work` does, or nothing of it when it throws. */
  async transaction<T>(work: (tx: SqlSession) => Promise<T>): Promise<T> {
    const client = await this.pool.connect()
    // A break while nothing is asked is met by the next statement; without a listener it would end the process.
    client.on('error', ignore)
    let broken: Error | undefined
    try {
      await client.query('begin')
      const result = await work({
        query: async (statement, values = []) => (await client.query({ ...statement, values })).rows,
      })
      await client.query('commit')
      return result
    } catch (error) {
      await client.query('rollback').catch((failure: Error) => {
        broken = failure
      })
      throw error
    } finally {
      client.off('error', ignore)
      // A connection that could not roll back is closed, not lent again.
      client.release(broken)
    }
  }

  /** A connection outside the pool, not yet open, for what lasts: LISTEN, a lease, an advisory lock. Its user ends it. */
  client(applicationName?: string): pg.Client {
    const { max: _, ...settings } = this.settings
    const client = new pg.Client({ ...settings, ...(applicationName ? { application_name: applicationName } : {}) })
    // A break is met by the query that it breaks, or by a listener of the user's; without any the event would end the process.
    client.on('error', () => {})
    return client
  }

  async close(): Promise<void> {
    if (!this.pool.ended) await this.pool.end()
  }
}

function ignore(): void {}

/** A statement is planned once per connection, often while tables are small: by such a plan they would be read whole once they have grown. */
async function byIndex(client: pg.ClientBase): Promise<void> {
  await client.query('set enable_seqscan = off')
}
