import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { EmbeddedPostgres } from '../../../src/platform/database/embedded-postgres.js'

/** A Postgres of the harness's own, with fsync on, that all servers under test work on. Killed, it comes back on the same port. */
export class PostgresUnderTest {
  private constructor(
    private readonly server: EmbeddedPostgres,
    private readonly folder: string,
  ) {}

  static async start(folder: string): Promise<PostgresUnderTest> {
    return new PostgresUnderTest(await EmbeddedPostgres.start({ dataDir: folder }), folder)
  }

  get url(): string {
    return this.server.url
  }

  /** An immediate shutdown: every session is cut, nothing is written back, recovery follows. Resolves when it serves again. */
  async crash(): Promise<void> {
    const pid = this.postmaster
    if (pid === undefined) return
    process.kill(pid, 'SIGQUIT')
    while (this.postmaster === pid) await delay(20)
    while (!(await this.answers())) await delay(50)
  }

  /** Cuts the connections with such a name. Returns how many. */
  async terminate(applicationName: string): Promise<number> {
    const rows = await this.query<{ cut: boolean }>(
      'select pg_terminate_backend(pid) as cut from pg_stat_activity where application_name = $1',
      [applicationName],
    )
    return rows.filter(({ cut }) => cut).length
  }

  /** One statement over a connection of its own. */
  async query<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.url, application_name: 'crash harness' })
    client.on('error', () => {})
    await client.connect()
    try {
      return (await client.query<Row>(text, values)).rows
    } finally {
      await client.end()
    }
  }

  async stop(): Promise<void> {
    await this.server.stop()
  }

  private async answers(): Promise<boolean> {
    return await this.query('select 1').then(
      () => true,
      () => false,
    )
  }

  private get postmaster(): number | undefined {
    const cluster = readdirSync(this.folder).find((name) => name.startsWith('postgres-')) ?? ''
    try {
      return Number.parseInt(readFileSync(join(this.folder, cluster, 'data', 'postmaster.pid'), 'utf8'), 10)
    } catch {
      return undefined
    }
  }
}
