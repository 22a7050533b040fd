import type { Sql, Statement } from './sql.js'

/** Begins a chore that nobody has begun for so long. */
const BEGIN: Statement = {
  name: 'chore_begin',
  text: `insert into chore as c (name, begun_at) values ($1, $2)
    on conflict (name) do update set begun_at = excluded.begun_at
      where c.begun_at <= excluded.begun_at - make_interval(secs => $3)
    returning name`,
}

/** What is done now and then by one of all processes. */
export class Chores {
  constructor(private readonly sql: Sql) {}

  /** Whether it is for this process to do, since none has begun it for `everyMs`. */
  async begins(chore: string, now: Date, everyMs: number): Promise<boolean> {
    return (await this.sql.query(BEGIN, [chore, now, everyMs / 1_000])).length > 0
  }

  /** One process at a time, however long it takes; the lock goes with the connection. Undefined where another is at it. */
  async alone<T>(lock: number, work: () => Promise<T>): Promise<T | undefined> {
    const client = this.sql.client('millrace chores')
    await client.connect()
    try {
      const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1, 0) as taken', [lock])
      return rows[0]?.taken ? await work() : undefined
    } finally {
      await client.end().catch(() => {})
    }
  }
}
