import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { EmbeddedPostgresError } from './embedded-error.js'
import { FolderLock } from './folder-lock.js'
import { findPostgres, type PostgresBinaries } from './postgres-binaries.js'
import { forgetForeignPid, Postmaster, StartFailure, serverOf, stopServerOf } from './postmaster.js'
import { chooseServerUser, handOver, type ServerUser } from './server-user.js'

const NAME = 'millrace'
const START_ATTEMPTS = 50
const RETRY_MS = 200
const LOCK_PATIENCE_MS = 2_000
const LOCK_RETRY_MS = 50
/**
 * Until a database is so old that it writes over segments of before, each new one is filled with zeros while every commit waits: on a
 * busy machine for 170 ms with 16 MB, for 8 with one.
 */
const WAL_SEGMENT_MB = 1

export interface EmbeddedPostgresOptions {
  dataDir: string
  /** Told what is being done, one line each, for a person who waits. */
  say?: (line: string) => void
  /** What the server writes to its log. */
  log?: (line: string) => void
  /** `none` is for servers whose data is thrown away: commits then do not wait for the disk. */
  durability?: 'full' | 'none'
}

/**
 * A PostgreSQL server of our own under `dataDir/postgres-<major>`, reached by password over loopback only. It lives as long as
 * this process: killed, it takes its server with it; and a server that survived all the same is stopped before the next one
 * starts. One process at a time owns the folder. A server that dies is started again on the same port.
 *
 * Its folder: `data` (the cluster, made elsewhere and renamed, so never half made), `password`, `lib` (library links).
 */
export class EmbeddedPostgres {
  private stopping = false
  private supervision: Promise<void> = Promise.resolve()

  private constructor(
    private readonly cluster: Cluster,
    private readonly lock: FolderLock,
    private postmaster: Postmaster,
    readonly port: number,
    readonly url: string,
  ) {}

  static async start(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
    const dataDir = ownFolder(options.dataDir)
    const lock = await takeLock(dataDir)
    try {
      const cluster = await Cluster.open(dataDir, options)
      const { postmaster, port } = await cluster.start()
      const url = await cluster.createDatabase(port)
      const server = new EmbeddedPostgres(cluster, lock, postmaster, port, url)
      server.supervision = server.supervise()
      return server
    } catch (error) {
      lock.release()
      throw error
    }
  }

  /** Resolves when the server is gone. Calling it again does no harm. */
  async stop(): Promise<void> {
    this.stopping = true
    await this.postmaster.stop()
    await this.supervision
    this.lock.release()
  }

  private async supervise(): Promise<void> {
    while (!this.stopping) {
      await this.postmaster.ended
      if (this.stopping) return
      this.cluster.say('the database server ended unexpectedly; starting it again')
      try {
        this.postmaster = (await this.cluster.start(this.port)).postmaster
        if (this.stopping) await this.postmaster.stop()
      } catch (error) {
        this.cluster.say(`the database server could not be started again: ${(error as Error).message}`)
        await delay(1_000, undefined, { ref: false })
      }
    }
  }
}

/** The files of a server, and the starting of it. */
class Cluster {
  private readonly data: string

  private constructor(
    private readonly binaries: PostgresBinaries,
    private readonly user: ServerUser,
    private readonly password: string,
    private readonly options: EmbeddedPostgresOptions,
  ) {
    this.data = join(binaries.folder, 'data')
  }

  static async open(dataDir: string, options: EmbeddedPostgresOptions): Promise<Cluster> {
    const binaries = findPostgres(dataDir)
    const user = chooseServerUser(binaries)
    const cluster = new Cluster(binaries, user, keptPassword(join(binaries.folder, 'password')), options)
    if (!existsSync(cluster.data)) await cluster.initialise()
    else if (serverOf(cluster.data)) {
      cluster.say('stopping the database server of an earlier process')
      await stopServerOf(cluster.data)
    }
    handOver(cluster.data, user)
    return cluster
  }

  say(line: string): void {
    this.options.say?.(line)
  }

  async start(fixedPort?: number): Promise<{ postmaster: Postmaster; port: number }> {
    this.say('starting the database')
    forgetForeignPid(this.data)
    for (let attempt = 1; ; attempt++) {
      const port = fixedPort ?? (await freePort())
      try {
        const postmaster = await Postmaster.start({
          binaries: this.binaries,
          user: this.user,
          data: this.data,
          port,
          settings: this.settings(),
          log: this.options.log ?? (() => {}),
        })
        return { postmaster, port }
      } catch (error) {
        const passes = error instanceof StartFailure && (error.portTaken || error.predecessorStillEnding)
        if (!passes || attempt === START_ATTEMPTS) throw error
        await delay(RETRY_MS)
      }
    }
  }

  /** The database of our name, made when it is missing. */
  async createDatabase(port: number): Promise<string> {
    const url = (database: string) => `postgresql://${NAME}:${this.password}@127.0.0.1:${port}/${database}`
    const client = new pg.Client({ connectionString: url('postgres') })
    await client.connect()
    try {
      const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [NAME])
      if (!rowCount) await client.query(`create database ${NAME}`)
    } finally {
      await client.end()
    }
    return url(NAME)
  }

  private async initialise(): Promise<void> {
    this.say('initialising the database (once)')
    const { folder, major, initdb, environment } = this.binaries
    const made = `${this.data}.new`
    const passwordFile = join(folder, 'password.new')
    rmSync(made, { recursive: true, force: true })
    mkdirSync(made, { mode: 0o700 })
    writeFileSync(passwordFile, this.password, { mode: 0o600 })
    for (const path of [made, passwordFile]) handOver(path, this.user)
    const locale =
      major >= 17 ? ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : ['--locale=C.UTF-8']
    const [command = '', ...args] = [
      ...[...this.user.prefix, initdb, '-D', made, `--username=${NAME}`, `--pwfile=${passwordFile}`],
      ...[
        `--wal-segsize=${WAL_SEGMENT_MB}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--no-instructions',
        '--data-checksums',
        ...locale,
      ],
      ...(this.options.durability === 'none' ? ['--no-sync'] : []),
    ]
    try {
      await promisify(execFile)(command, args, { ...this.user.options, env: environment, cwd: '/' })
    } catch (error) {
      const said = (error as { stderr?: string }).stderr ?? ''
      throw new EmbeddedPostgresError(`The database could not be initialised in ${folder}: ${said.trim()}`)
    } finally {
      rmSync(passwordFile, { force: true })
    }
    renameSync(made, this.data)
  }

  private settings(): Record<string, string> {
    return {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      lc_messages: 'C',
      log_timezone: 'UTC',
      timezone: 'UTC',
      // What Postgres chooses for segments of 16 MB; by small ones it would choose less.
      max_wal_size: '1GB',
      min_wal_size: '80MB',
      wal_buffers: '4MB',
      // Statements and their values stay out of the log: they hold users' data.
      log_min_error_statement: 'panic',
      log_error_verbosity: 'terse',
      ...(this.options.durability === 'none'
        ? { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '200' }
        : {}),
    }
  }
}

function ownFolder(path: string): string {
  try {
    mkdirSync(path, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 })
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
    return realpathSync(path)
  } catch (error) {
    throw new EmbeddedPostgresError(`DATA_DIR cannot be used for the embedded database: ${(error as Error).message}`)
  }
}

/** A predecessor that is just ending gets a moment to do so. */
async function takeLock(dataDir: string): Promise<FolderLock> {
  for (const until = Date.now() + LOCK_PATIENCE_MS; ; await delay(LOCK_RETRY_MS)) {
    const lock = FolderLock.take(join(dataDir, 'database.lock'))
    if (lock instanceof FolderLock) return lock
    if (Date.now() < until) continue
    throw new EmbeddedPostgresError(
      `Another process${lock.heldBy ? ` (pid ${lock.heldBy})` : ''} already runs the embedded database in ${dataDir}. Stop it ` +
        'first, choose another DATA_DIR, or give both the same DATABASE_URL to run several processes on one database.',
    )
  }
}

function keptPassword(path: string): string {
  if (existsSync(path)) return readFileSync(path, 'utf8').trim()
  const password = randomBytes(24).toString('hex')
  const fresh = `${path}.${process.pid}`
  writeFileSync(fresh, `${password}\n`, { mode: 0o600 })
  chmodSync(fresh, 0o600)
  renameSync(fresh, path)
  return password
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => resolve(port))
    })
  })
}
