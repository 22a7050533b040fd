import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Injectable, Module, type OnModuleInit } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import { TypeOrmModule } from '@nestjs/typeorm'
import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm'
import { expect, it, vi } from 'vitest'
import { testConfig } from '../../../test/support/config.js'
import { testDatabase } from '../../../test/support/database.js'
import { ConfigModule } from '../config/config.module.js'
import { createLog } from '../log/log.js'
import { LogModule } from '../log/log.module.js'
import { databaseIsUp } from './data-source.js'
import { DatabaseModule } from './database.module.js'
import { serverOf } from './postmaster.js'
import { Sql } from './sql.js'

vi.setConfig({ testTimeout: 60_000 })

@Entity({ name: 'kept_thing' })
class KeptThing {
  @PrimaryGeneratedColumn('uuid')
  id: string

  @Column()
  givenName: string
}

/** Stands for any module that needs the schema as soon as it starts. */
@Injectable()
class Reader implements OnModuleInit {
  tables = 0

  constructor(private readonly sql: Sql) {}

  async onModuleInit(): Promise<void> {
    const [row] = await this.sql.query<{ n: number }>({
      name: 'tables',
      text: `select count(*)::int as n from pg_tables where schemaname = 'public'`,
    })
    this.tables = row?.n ?? 0
  }
}

@Module({ imports: [TypeOrmModule.forFeature([KeptThing])], providers: [Reader] })
class KeptModule {}

async function start(set: Record<string, string>) {
  const lines: string[] = []
  const options = { logLevel: 'info', logFormat: 'json', production: false } as const
  const log = createLog(options, { write: (line) => lines.push((JSON.parse(line) as { msg: string }).msg) })
  const imports = [ConfigModule.with(testConfig(set)), LogModule.with(log), DatabaseModule, KeptModule]
  const module = await Test.createTestingModule({ imports }).compile()
  await module.init()
  return { module, lines, dataSource: module.get(DataSource), sql: module.get(Sql) }
}

it('gives modules a migrated schema, repositories with snake_case columns, and statements', async () => {
  const database = await testDatabase()
  try {
    const { module, dataSource, sql } = await start({ DATABASE_URL: database.url })
    expect(module.get(Reader).tables).toBeGreaterThan(0)
    await sql.query({
      name: 'make',
      text: 'create table kept_thing (id uuid primary key default gen_random_uuid(), given_name text)',
    })
    const saved = await dataSource.getRepository(KeptThing).save({ givenName: 'Ada' })
    expect(saved.id).toMatch(/^[0-9a-f-]{36}$/)
    expect(await sql.query({ name: 'names', text: 'select given_name from kept_thing' })).toEqual([
      { given_name: 'Ada' },
    ])
    await module.close()
    expect(await databaseIsUp(dataSource)).toBe(false)
    await expect(sql.query({ name: 'late', text: 'select 1' })).rejects.toThrow()
  } finally {
    await database.drop()
  }
})

it('runs its own server where none is given, says what it does, and stops it last', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-module-'))
  chmodSync(dataDir, 0o711)
  try {
    const { module, lines, dataSource } = await start({ DATA_DIR: dataDir })
    expect(lines).toEqual(['initialising the database (once)', 'starting the database', 'migrating the database'])
    expect(await databaseIsUp(dataSource)).toBe(true)
    const cluster = join(dataDir, 'postgres-18', 'data')
    expect(serverOf(cluster)).toBeGreaterThan(0)
    await module.close()
    expect(serverOf(cluster)).toBeUndefined()
  } finally {
    rmSync(dataDir, { recursive: true })
  }
})
