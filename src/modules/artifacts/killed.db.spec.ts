import { randomInt } from 'node:crypto'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { Logger } from '@nestjs/common'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { runFromSource } from '../../../test/support/process.js'
import { newId } from '../../platform/ids.js'
import { artifactsBucket } from '../storage/bucket-access.js'
import { ArtifactsUnderTest, callerOf, fileOf, numberedFile, runOf } from './artifacts.fake.js'

/** `KILLS=50` takes some minutes. */
const KILLS = Number(process.env.KILLS ?? 4)

let database: TestDatabase
let artifacts: ArtifactsUnderTest

beforeAll(async () => {
  Logger.overrideLogger(false)
  database = await testDatabase()
  artifacts = await ArtifactsUnderTest.on(database)
  artifacts.limits.artifactQuotaBytes = 0
})

afterAll(async () => {
  await artifacts.close()
  await database.drop()
})

it('leaves neither objects without artifacts nor artifacts without objects, however often processes are killed', async () => {
  const halfWay: number[] = []
  let done = 0
  for (let kill = 0; kill < KILLS; kill++) {
    const run = runOf(newId('run'))
    const { begun, ended } = await killedWhileKeeping(run.id)
    done += ended.size
    const open = [...begun].filter((number) => !ended.has(number))
    halfWay.push(open.length)
    // Another process does the step again, of every second run: what was half-way is whole, or kept anew.
    if (kill % 2 === 0)
      for (const number of open.filter((one) => one % 3 !== 0)) {
        const { path, content } = numberedFile(number)
        const id = await artifacts.kept.keep(run, fileOf(path, content))
        const artifact = await artifacts.service.get(callerOf(run), id)
        expect(await text(await artifacts.service.content(artifact, undefined, new AbortController().signal))).toBe(
          content,
        )
      }
  }
  console.info(`${KILLS} kills, ${done} done, half-way ${halfWay.join(' ')}`)
  expect(done).toBeGreaterThan(KILLS)
  expect(halfWay.filter((open) => open > 0).length).toBeGreaterThan(KILLS / 2)

  artifacts.clock.advance(2 * 86_400_000)
  await artifacts.sweep().look()
  const rows = await database.dataSource.query(
    'select state, key, size_bytes::float8 as size from artifact order by key collate "C"',
  )
  expect(new Set(rows.map(({ state }: { state: string }) => state))).toEqual(new Set(['kept']))
  expect(await stored()).toEqual(rows.map(({ key, size }: { key: string; size: number }) => [key, size]))
  const [usage] = await database.dataSource.query('select bytes::float8 as bytes from artifact_usage')
  expect(usage.bytes).toBe(rows.reduce((sum: number, { size }: { size: number }) => sum + size, 0))
}, 300_000)

async function killedWhileKeeping(runId: string) {
  const program = 'src/modules/artifacts/keeping-process.fake.ts'
  const { child, ended: end, line } = runFromSource([program, database.url, artifacts.folder, runId])
  const begun = new Set<number>()
  const ended = new Set<number>()
  const lines = (async () => {
    for await (const said of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
      const [word, number] = said.split(' ')
      if (word === 'begin') begun.add(Number(number))
      if (word === 'end') ended.add(Number(number))
    }
  })()
  await line(/^end/)
  // Wherever it is by then.
  await delay(randomInt(0, 300))
  child.kill('SIGKILL')
  await end
  await lines
  // A transaction that it had sent may end a moment later than the process.
  await expect.poll(() => connectionsOf(runId), { timeout: 20_000 }).toBe(0)
  return { begun, ended }
}

async function connectionsOf(runId: string): Promise<number> {
  const rows = await database.dataSource.query(
    'select from pg_stat_activity where datname = current_database() and application_name = $1',
    [`keeping ${runId}`],
  )
  return rows.length
}

async function stored(): Promise<[string, number][]> {
  const { accountId, tenantId } = runOf('run_x')
  const all: [string, number][] = []
  for (let continuation: string | undefined; ; ) {
    const query = { limit: 1_000, ...(continuation && { continuation }) }
    const page = await artifacts.storage(tenantId).listObjects(artifactsBucket(accountId), query)
    all.push(...page.objects.map(({ key, size }): [string, number] => [key, size]))
    continuation = page.next
    if (!continuation) return all
  }
}
