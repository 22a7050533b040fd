import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { runFromSource, type SourceProcess } from '../../../test/support/process.js'
import { EmbeddedPostgres } from './embedded-postgres.js'
import { findPostgres } from './postgres-binaries.js'
import { serverOf } from './postmaster.js'

// Each starts servers and processes of its own, which takes as long as the machine is busy.
vi.setConfig({ testTimeout: 60_000 })

let dataDir: string
let said: string[]
let closing: (() => unknown)[]

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'millrace-launcher-'))
  chmodSync(dataDir, 0o711)
  said = []
  closing = []
})

afterEach(async () => {
  for (const close of closing.reverse()) await close()
  await vi.waitFor(() => expect(serverOf(clusterOf(dataDir))).toBeUndefined(), { timeout: 10_000 })
  rmSync(dataDir, { recursive: true, force: true })
})

/** Root's way where no other user can reach the files; many containers forbid it. */
const mayUseNamespaces = process.getuid?.() === 0 && spawnSync('unshare', ['--user', 'true']).status === 0

const clusterOf = (folder: string) => join(folder, 'postgres-18', 'data')

async function start(folder = dataDir): Promise<EmbeddedPostgres> {
  const server = await EmbeddedPostgres.start({ dataDir: folder, say: (line) => said.push(line) })
  closing.push(() => server.stop())
  return server
}

/** A process that starts the server and stays until it is killed. */
async function startElsewhere(): Promise<SourceProcess & { url: string }> {
  const module = new URL('embedded-postgres.ts', import.meta.url).href
  const script = `
    const { EmbeddedPostgres } = await import(${JSON.stringify(module)})
    const { url } = await EmbeddedPostgres.start({ dataDir: ${JSON.stringify(dataDir)} })
    console.log(url)
    setInterval(() => {}, 1000)`
  const other = runFromSource(['--input-type=module', '-e', script])
  closing.push(() => other.child.kill('SIGKILL'))
  return { ...other, url: await other.line(/^postgresql:/) }
}

async function ask<Row extends pg.QueryResultRow>(url: string, ...statements: string[]): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    let rows: Row[] = []
    for (const statement of statements) rows = (await client.query<Row>(statement)).rows
    return rows
  } finally {
    await client.end()
  }
}

const SAVE = ['create table if not exists kept (at timestamptz default now())', 'insert into kept default values']
const COUNT = 'select count(*)::int as count from kept'

describe('a start', () => {
  it('initialises once and keeps what was saved', async () => {
    const first = await start()
    expect(said).toEqual(['initialising the database (once)', 'starting the database'])
    await ask(first.url, ...SAVE)
    await first.stop()
    expect(serverOf(clusterOf(dataDir))).toBeUndefined()

    said = []
    const second = await start()
    expect(said).toEqual(['starting the database'])
    expect(await ask(second.url, COUNT)).toEqual([{ count: 1 }])
    expect(await ask(second.url, 'show fsync')).toEqual([{ fsync: 'on' }])
    expect(await ask(second.url, 'show max_wal_size')).toEqual([{ max_wal_size: '1GB' }])
    expect(await ask(second.url, 'show wal_segment_size')).toEqual([{ wal_segment_size: '1MB' }])
  })

  it('begins anew when an earlier one was cut off while initialising', async () => {
    const { folder } = findPostgres(dataDir)
    mkdirSync(join(folder, 'data.new', 'base'), { recursive: true })
    const server = await start()
    expect(await ask(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
  })

  it('lets in only who knows the password, which only the owner can read', async () => {
    const { url, port } = await start()
    await expect(ask(`postgresql://millrace:guess@127.0.0.1:${port}/millrace`, 'select 1')).rejects.toThrow(/password/)
    await expect(ask(`postgresql://millrace@127.0.0.1:${port}/millrace`, 'select 1')).rejects.toThrow(/password/)
    expect(await ask(url, 'show listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }])
    expect(statSync(join(dataDir, 'postgres-18', 'password')).mode & 0o777).toBe(0o600)
    expect(readdirSync(join(dataDir, 'postgres-18')).sort()).toEqual(['data', 'lib', 'password'])
    expect(statSync(clusterOf(dataDir)).mode & 0o777).toBe(0o700)
  })

  it('hands nothing of our environment to the server', async () => {
    const { url } = await start()
    const [{ pid } = { pid: 0 }] = await ask<{ pid: number }>(url, 'select pg_backend_pid() as pid')
    const backend = readFileSync(`/proc/${serverOf(clusterOf(dataDir))}/environ`, 'latin1').split('\0')
    expect(pid).toBeGreaterThan(0)
    const names = backend.map((entry) => entry.split('=')[0] ?? '')
    expect(names.filter((name) => !/^(PATH|LC_\w+|LD_LIBRARY_PATH|PG\w+|PWD|OLDPWD|_|)$/.test(name))).toEqual([])
  })

  it.runIf(mayUseNamespaces)('works for root in a folder that only root may enter', async () => {
    chmodSync(dataDir, 0o700)
    const { url } = await start()
    expect(await ask(url, ...SAVE, COUNT)).toEqual([{ count: 1 }])
    expect(statSync(clusterOf(dataDir)).uid).toBe(0)
  })

  it.runIf(mayUseNamespaces)('goes on when a folder was closed to the user who ran the server', async () => {
    const open = await start()
    await ask(open.url, ...SAVE)
    await open.stop()
    expect(statSync(clusterOf(dataDir)).uid).not.toBe(0)
    chmodSync(dataDir, 0o700)
    expect(await ask((await start()).url, COUNT)).toEqual([{ count: 1 }])
  })
})

describe('after a kill', () => {
  it('of the program, its server ends too, and every committed row is there', async () => {
    const other = await startElsewhere()
    await ask(other.url, ...SAVE)
    process.kill(other.pid, 'SIGKILL')
    const server = await start()
    expect(await ask(server.url, COUNT)).toEqual([{ count: 1 }])
  })

  it('of the program, its server ends also when nobody starts again', async () => {
    const other = await startElsewhere()
    const postmaster = serverOf(clusterOf(dataDir))
    expect(postmaster).toBeGreaterThan(0)
    process.kill(other.pid, 'SIGKILL')
    await vi.waitFor(() => expect(serverOf(clusterOf(dataDir))).toBeUndefined(), { timeout: 10_000 })
  })

  it('of the program and of the keeper, the server that is left is stopped and its rows are kept', async () => {
    const other = await startElsewhere()
    await ask(other.url, ...SAVE)
    const postmaster = serverOf(clusterOf(dataDir)) ?? 0
    for (const keeper of keepersOf(postmaster)) process.kill(keeper, 'SIGKILL')
    process.kill(other.pid, 'SIGKILL')
    await other.ended
    expect(serverOf(clusterOf(dataDir))).toBe(postmaster)

    const server = await start()
    expect(said[0]).toBe('stopping the database server of an earlier process')
    expect(serverOf(clusterOf(dataDir))).not.toBe(postmaster)
    expect(await ask(server.url, COUNT)).toEqual([{ count: 1 }])
  })

  it('of the server, it is started again where it was, and every committed row is there', async () => {
    const server = await start()
    await ask(server.url, ...SAVE)
    const killed = serverOf(clusterOf(dataDir)) ?? 0
    process.kill(killed, 'SIGKILL')
    await vi.waitFor(async () => expect(await ask(server.url, COUNT)).toEqual([{ count: 1 }]), { timeout: 15_000 })
    expect(serverOf(clusterOf(dataDir))).not.toBe(killed)
    expect(said.at(-2)).toBe('the database server ended unexpectedly; starting it again')
  })
})

describe('a pid file that is left over', () => {
  beforeEach(async () => {
    const server = await start()
    await ask(server.url, ...SAVE)
    await server.stop()
  })

  const leave = (pid: number) =>
    writeFileSync(
      join(clusterOf(dataDir), 'postmaster.pid'),
      `${pid}\n${clusterOf(dataDir)}\n0\n1\n\n127.0.0.1\n\nready   \n`,
    )

  it('does not matter when its process is dead', async () => {
    const dead = runFromSource(['-e', ''])
    await dead.ended
    leave(dead.pid)
    expect(await ask((await start()).url, COUNT)).toEqual([{ count: 1 }])
  })

  it('does not matter when its number is another program’s by now, which is left alone', async () => {
    const bystander = runFromSource(['-e', 'console.log("here"); setInterval(() => {}, 1000)'])
    closing.push(() => bystander.child.kill('SIGKILL'))
    await bystander.line(/here/)
    leave(bystander.pid)
    expect(await ask((await start()).url, COUNT)).toEqual([{ count: 1 }])
    expect(bystander.child.exitCode ?? bystander.child.signalCode).toBeNull()
  })
})

it('refuses a second process on the same folder, in plain words, until the first is gone', async () => {
  const other = await startElsewhere()
  await expect(start()).rejects.toThrow(
    new RegExp(`^Another process \\(pid ${other.pid}\\) already runs the embedded database in .*DATABASE_URL`),
  )
  process.kill(other.pid, 'SIGKILL')
  await other.ended
  expect(await ask((await start()).url, 'select 1 as one')).toEqual([{ one: 1 }])
})

it('says so when the folder cannot be used', async () => {
  const file = join(dataDir, 'file')
  writeFileSync(file, '')
  await expect(start(file)).rejects.toThrow(/^DATA_DIR cannot be used for the embedded database: .*EEXIST/)
})

it('refuses a second server in the same process too', async () => {
  await start()
  await expect(start()).rejects.toThrow(/already runs the embedded database/)
})

describe('the installation', () => {
  it('gets the library links that its package lacks, in a folder of ours', () => {
    const { folder, environment } = findPostgres(dataDir)
    const links = readdirSync(join(folder, 'lib'))
    expect(links).toContain('libpq.so.5')
    for (const link of links) expect(statSync(join(folder, 'lib', link)).isFile()).toBe(true)
    expect(readlinkSync(join(folder, 'lib', 'libpq.so.5'))).toMatch(/libpq\.so\.5\.\d+$/)
    expect(environment.LD_LIBRARY_PATH).toContain(join(folder, 'lib'))
  })

  it('is missed with a hint at what helps', () => {
    expect(() => findPostgres(dataDir, [])).toThrow(/no embedded PostgreSQL for \S+ .* Set DATABASE_URL/)
    const broken = { bin: '/nonexistent', major: 18, links: {} }
    expect(() => findPostgres(dataDir, [broken])).toThrow(/no embedded PostgreSQL/)
  })

  it('must be able to read the data that is there', () => {
    mkdirSync(join(dataDir, 'postgres-14', 'data'), { recursive: true })
    expect(() => findPostgres(dataDir)).toThrow(/holds a database of PostgreSQL 14, which is not installed here/)
  })
})

/** The shell that looks after a server, and its watcher: they stand in the server's session, as its parent and its sibling. */
function keepersOf(postmaster: number): number[] {
  const session = processOf(postmaster).session
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => processOf(Number(name)))
    .filter((other) => other.session === session && other.name === 'sh')
    .map(({ pid }) => pid)
}

/** `/proc/<pid>/stat`: pid (name) state parent group session … */
function processOf(pid: number): { pid: number; name?: string; session?: string } {
  try {
    const [, name, rest = ''] = /\((.*)\) (.*)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
    return { pid, name, session: rest.split(' ')[3] }
  } catch {
    return { pid }
  }
}
