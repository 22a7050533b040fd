import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { DataSource } from 'typeorm'
import { connectionSettings, dataSourceOptions, migrate } from '../src/platform/database/data-source.js'
import { EmbeddedPostgres } from '../src/platform/database/embedded-postgres.js'
import { Sql } from '../src/platform/database/sql.js'
import type { BenchOptions } from './options.js'
import { BenchServer } from './server.js'

/** A built checkout. */
export interface Build {
  name: string
  root: string
}

/** Where everything is measured: one Postgres with a database for each workload, and the servers that are started on them. */
export class Lab {
  private databases = 0

  private constructor(
    readonly options: BenchOptions,
    private readonly folder: string,
    private readonly postgres: EmbeddedPostgres,
  ) {}

  static async open(options: BenchOptions): Promise<Lab> {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
    await chmod(folder, 0o711)
    return new Lab(options, folder, await EmbeddedPostgres.start({ dataDir: join(folder, 'data') }))
  }

  get seconds(): number {
    return this.options.short ? 2 : 8
  }

  get warmUpSeconds(): number {
    return this.options.short ? 1 : 4
  }

  /** This checkout, and the other one where there is one. */
  get builds(): Build[] {
    const own = { name: 'this', root: fileURLToPath(new URL('..', import.meta.url)) }
    const { against } = this.options
    return against === undefined ? [own] : [{ name: 'other', root: resolve(against) }, own]
  }

  /** The URL of an empty database. */
  async database(): Promise<string> {
    const name = `bench_${++this.databases}`
    const admin = new pg.Client({ connectionString: this.postgres.url })
    await admin.connect()
    try {
      await admin.query(`create database ${name}`)
    } finally {
      await admin.end()
    }
    const url = new URL(this.postgres.url)
    url.pathname = `/${name}`
    return url.href
  }

  /** The same with our schema. */
  async migrated(): Promise<string> {
    const url = await this.database()
    const dataSource = new DataSource(dataSourceOptions({ url, poolSize: 2, applicationName: 'bench' }))
    await dataSource.initialize()
    await migrate(dataSource)
    await dataSource.destroy()
    return url
  }

  sql(url: string): Sql {
    return new Sql(connectionSettings({ url, poolSize: 10, applicationName: 'bench' }))
  }

  /** Puts so many due runs of a flow into the table, as if they had been accepted while there was no room. */
  async queue(url: string, flowId: string, count: number): Promise<void> {
    await this.ask(
      url,
      `insert into run (id, tenant_id, account_id, flow_id, revision, trigger, input, created_at, state, wake_at)
        select run_id_at(now()) || lpad(upper(to_hex(n)), 16, '0'), tenant_id, account_id, id, revision, 'api', '{"n":1}', now(),
          'queued', now()
        from flow cross join generate_series(1, ${count}) as n where id = '${flowId}'`,
    )
  }

  /** Runs that wait in the table. */
  async queued(url: string): Promise<number> {
    const [row] = await this.ask(url, `select count(*)::integer as queued from run where state = 'queued'`)
    return row?.queued ?? 0
  }

  private async ask(url: string, text: string): Promise<{ queued?: number }[]> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      return (await client.query(text)).rows
    } finally {
      await client.end()
    }
  }

  async server(databaseUrl: string, build = this.builds.at(-1) as Build): Promise<BenchServer> {
    const profileDir = this.options.profile ? join(this.folder, 'profiles') : undefined
    if (profileDir) await mkdir(profileDir, { recursive: true })
    const dataDir = join(this.folder, `server-${build.name}`)
    return await BenchServer.start({ root: build.root, databaseUrl, dataDir, profileDir })
  }

  async close(): Promise<void> {
    await this.postgres.stop()
    if (this.options.profile) console.log(`profiles are in ${join(this.folder, 'profiles')}`)
    else await rm(this.folder, { recursive: true, force: true })
  }
}
