import { setTimeout as delay } from 'node:timers/promises'
import { DataSource } from 'typeorm'
import type { Config } from '../config/config.js'
import { dataSourceOptions, migrate } from './data-source.js'
import { EmbeddedPostgres } from './embedded-postgres.js'
import { sittingOutages } from './sitting-outages.js'

const WAIT_MS = 1_000

export interface OpeningOptions {
  /** Told what is being done, one line each. */
  say?: (line: string) => void
  /** What an embedded server writes to its log. */
  log?: (line: string) => void
  /** How long a given server may take to answer for the first time. */
  patienceMs?: number
}

/** The Postgres that this process works on: the operator's, or one of its own that lives as long as it. */
export class DatabaseServer {
  private constructor(
    readonly url: string,
    private readonly embedded?: EmbeddedPostgres,
  ) {}

  /** Resolves when the server answers and its schema is up to date. */
  static async open(
    { databaseUrl, dataDir }: Pick<Config, 'databaseUrl' | 'dataDir'>,
    { say = () => {}, log, patienceMs = 60_000 }: OpeningOptions = {},
  ): Promise<DatabaseServer> {
    const embedded = databaseUrl ? undefined : await EmbeddedPostgres.start({ dataDir, say, log })
    const url = databaseUrl ?? embedded?.url ?? ''
    try {
      const dataSource = await connect(url, say, Date.now() + patienceMs)
      try {
        await sittingOutages(() => migrate(dataSource, say), patienceMs)
      } finally {
        await dataSource.destroy()
      }
      return new DatabaseServer(url, embedded)
    } catch (error) {
      await embedded?.stop()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.embedded?.stop()
  }
}

/** Waits for a server that is still on its way up, as when both are started together. */
async function connect(url: string, say: (line: string) => void, until: number): Promise<DataSource> {
  const connection = { url, poolSize: 2, applicationName: 'millrace migrations' }
  for (let attempt = 1; ; attempt++) {
    try {
      return await new DataSource(dataSourceOptions(connection)).initialize()
    } catch (error) {
      if (!isOnItsWay(error as ConnectionFailure) || Date.now() >= until) throw error
      if (attempt === 1) say(`waiting for the database at ${new URL(url).host}`)
      await delay(WAIT_MS)
    }
  }
}

interface ConnectionFailure {
  code?: string
  /** Of an AggregateError: one for each address tried. */
  errors?: { code?: string }[]
}

/** 57P03: there, but not yet accepting connections. */
const ON_ITS_WAY = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', '57P03'])

function isOnItsWay({ code, errors = [] }: ConnectionFailure): boolean {
  return [code, ...errors.map((error) => error.code)].some((known) => known !== undefined && ON_ITS_WAY.has(known))
}
