import { randomBytes } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { DataSource } from 'typeorm'
import type { TestProject } from 'vitest/node'
import { dataSourceOptions, migrate } from '../../src/platform/database/data-source.js'
import { EmbeddedPostgres } from '../../src/platform/database/embedded-postgres.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where a spec asks for the suite's database server. */
    testServer: string
  }
}

/** What a spec is told: a connection that may make databases, and the migrated database to copy. */
export interface TestServer {
  adminUrl: string
  template: string
}

const FOLDER = 'millrace-test-'
const PREFIX = 'millrace_test_'

/**
 * One database server for the whole suite, started when the first spec asks for it, so that pure specs wait for nothing. It is an
 * embedded one whose data is thrown away, or the one that TEST_DATABASE_URL names.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const closing: (() => Promise<void>)[] = []
  let server: Promise<TestServer> | undefined
  const path = `/${randomBytes(16).toString('hex')}`
  const door = createServer((request, response) => {
    if (request.url !== path) return response.writeHead(404).end()
    server ??= startServer(closing)
    server.then(
      (answer) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer)),
      (error: Error) => response.writeHead(500).end(error.message),
    )
  })
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve))
  project.provide('testServer', `http://127.0.0.1:${(door.address() as AddressInfo).port}${path}`)

  return async () => {
    door.close()
    door.closeAllConnections()
    await server?.catch(() => {})
    for (const close of closing.reverse()) await close()
  }
}

async function startServer(closing: (() => Promise<void>)[]): Promise<TestServer> {
  const adminUrl = process.env.TEST_DATABASE_URL ?? (await startEmbedded(closing))
  const template = `${PREFIX}${process.pid}_${Date.now()}_template`
  await dropLeftovers(adminUrl)
  await asAdmin(adminUrl, (admin) => admin.query(`create database ${template}`))
  closing.push(() => asAdmin(adminUrl, (admin) => admin.query(`drop database if exists ${template} with (force)`)))
  const url = new URL(adminUrl)
  url.pathname = `/${template}`
  const dataSource = new DataSource(
    dataSourceOptions({ url: url.href, poolSize: 2, applicationName: 'millrace test template' }),
  )
  await dataSource.initialize()
  try {
    await migrate(dataSource)
  } finally {
    await dataSource.destroy()
  }
  return { adminUrl, template }
}

async function startEmbedded(closing: (() => Promise<void>)[]): Promise<string> {
  removeAbandonedFolders()
  const dataDir = await mkdtemp(join(tmpdir(), `${FOLDER}${process.pid}-`))
  closing.push(() => rm(dataDir, { recursive: true, force: true }))
  // Started as root, the server runs as another user, who must be able to pass through.
  await chmod(dataDir, 0o711)
  const server = await EmbeddedPostgres.start({ dataDir, durability: 'none' })
  closing.push(() => server.stop())
  return server.url
}

/** A run that was killed leaves its folder behind; its server ended with it. */
function removeAbandonedFolders(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = new RegExp(`^${FOLDER}(\\d+)-`).exec(name)?.[1]
    if (pid && !isAlive(Number(pid))) rmSync(join(tmpdir(), name), { recursive: true, force: true })
  }
}

/** Databases of runs that were killed, on a server that outlives them: older than an hour and used by nobody. */
async function dropLeftovers(adminUrl: string): Promise<void> {
  await asAdmin(adminUrl, async (admin) => {
    const { rows } = await admin.query<{ datname: string }>(
      `select datname from pg_database d where datname like $1
       and not exists (select from pg_stat_activity a where a.datname = d.datname)`,
      [`${PREFIX.replaceAll('_', '\\_')}%`],
    )
    for (const { datname } of rows) {
      const madeAt = Number(datname.split('_')[3])
      if (madeAt < Date.now() - 3_600_000) await admin.query(`drop database if exists ${datname}`)
    }
  })
}

async function asAdmin<T>(url: string, work: (admin: pg.Client) => Promise<T>): Promise<void> {
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  try {
    await work(admin)
  } finally {
    await admin.end()
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
