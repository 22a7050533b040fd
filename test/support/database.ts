import pg from 'pg'
import { DataSource, type EntityTarget, type ObjectLiteral } from 'typeorm'
import { inject } from 'vitest'
import { connectionSettings, dataSourceOptions } from '../../src/platform/database/data-source.js'
import { Sql } from '../../src/platform/database/sql.js'
import type { TestServer } from './global-setup.js'

/** A migrated database of one spec's own. */
export interface TestDatabase {
  url: string
  dataSource: DataSource
  sql: Sql
  /** Closes `dataSource` and `sql` and removes the database, whoever is still connected. */
  drop(): Promise<void>
}

let made = 0

/**
 * A fresh copy of the migrated schema (0.1 to 0.2 s): one per spec file, in `beforeAll`, dropped in `afterAll`. `entities` are
 * those that the spec asks repositories for, with the ones that they relate to.
 */
export async function testDatabase(entities: EntityTarget<ObjectLiteral>[] = []): Promise<TestDatabase> {
  const { adminUrl, template } = await testServer()
  const name = template.replace(/template$/, `${process.pid}_${++made}`)
  await asAdmin(adminUrl, `create database ${name} template ${template} strategy wal_log`)
  const url = new URL(adminUrl)
  url.pathname = `/${name}`
  const connection = { url: url.href, poolSize: 5, applicationName: 'millrace test' }
  const dataSource = new DataSource({ ...dataSourceOptions(connection), entities: entities as never })
  await dataSource.initialize()
  const sql = new Sql(connectionSettings(connection))
  return {
    url: url.href,
    dataSource,
    sql,
    async drop() {
      if (dataSource.isInitialized) await dataSource.destroy()
      await sql.close()
      await asAdmin(adminUrl, `drop database if exists ${name} with (force)`)
    },
  }
}

/** An empty database, for what is tested without or with other migrations. */
export async function emptyDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const { adminUrl, template } = await testServer()
  const name = template.replace(/template$/, `${process.pid}_${++made}`)
  await asAdmin(adminUrl, `create database ${name} strategy wal_log`)
  const url = new URL(adminUrl)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => asAdmin(adminUrl, `drop database if exists ${name} with (force)`) }
}

async function testServer(): Promise<TestServer> {
  const response = await fetch(inject('testServer'))
  if (!response.ok) throw new Error(`the suite's database server did not start: ${await response.text()}`)
  return (await response.json()) as TestServer
}

async function asAdmin(url: string, statement: string): Promise<void> {
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  try {
    await admin.query(statement)
  } finally {
    await admin.end()
  }
}
