import { createHash, randomInt } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { buffer } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { runFromSource } from '../../../../test/support/process.js'
import { EmbeddedObjectStore } from '../../../platform/objects/embedded-object-store.js'
import { NoPresigner } from '../presigner.fake.js'
import { ObjectNotFound } from '../storage.errors.js'
import { BlobSweep } from './blob-sweep.js'
import { recounted } from './bucket-usage.fake.js'
import { partsOf } from './changing-content.fake.js'
import type { EmbeddedStorage } from './embedded-storage.js'
import { EmbeddedStores } from './embedded-stores.js'
import { BUCKETS_AREA } from './object-content.js'

/** `KILLS=52` takes one or two minutes. */
const KILLS = Number(process.env.KILLS ?? 12)
/** At a time, each on keys of its own. */
const LANES = 4

let database: TestDatabase
let folder: string
let objects: EmbeddedObjectStore
let store: EmbeddedStorage

beforeAll(async () => {
  database = await testDatabase()
  folder = await mkdtemp(join(tmpdir(), 'millrace-killed-'))
  objects = new EmbeddedObjectStore(folder)
  store = new EmbeddedStores({ ...database, objects, presigner: new NoPresigner() }).of('tenant_changing')
  await store.createBucket('data')
})

afterAll(async () => {
  await database.drop()
  await rm(folder, { recursive: true, force: true })
})

it(`leaves objects that are the old or the new, and nothing else, however often processes are killed`, async () => {
  const known = new Map<string, number>()
  let changes = 0
  let halfWay = 0
  const lane = async (first: number) => {
    for (let seed = first; seed < KILLS; seed += LANES) {
      const { last, pending, done } = await killedWhileChanging(seed)
      changes += done
      for (const [key, number] of last) known.set(key, number)
      for (const [key, number] of pending) {
        halfWay++
        known.set(key, await oneOf(key, known.get(key) ?? 0, number))
      }
    }
  }
  await Promise.all(Array.from({ length: LANES }, (_, first) => lane(first)))
  console.info(`${KILLS} kills, ${changes} changes, ${halfWay} of them half-way`)
  expect(changes).toBeGreaterThan(KILLS)
  expect(halfWay).toBeGreaterThan(KILLS / 2)
  for (const [key, number] of known) expect(await oneOf(key, number, number)).toBe(number)
  expect(await store.usage()).toEqual(await recounted(database.dataSource, store.tenantId))

  const sweep = new BlobSweep(database.sql, objects, 600_000)
  const later = new Date(Date.now() + 30 * 24 * 3_600_000)
  const never = new AbortController().signal
  expect(await sweep.endStaleUploads(later)).toBeGreaterThan(0)
  await sweep.sweepReleased(new Date(later.getTime() + 3_600_000), never)
  await sweep.removeUnfinished(later)
  await sweep.sweepAll(later, never)
  expect((await blobs()).sort()).toEqual(await named())
  expect(await readdir(join(folder, '.incoming'))).toEqual([])
  for (const [key, number] of known) expect(await oneOf(key, number, number)).toBe(number)
  expect(await store.usage()).toEqual(await recounted(database.dataSource, store.tenantId))
}, 300_000)

/** Lets a process change objects until it is killed at some moment. What it said is done, and what it was at. */
async function killedWhileChanging(seed: number) {
  const { child, ended, line } = runFromSource([
    'src/modules/storage/embedded/changing-process.fake.ts',
    database.url,
    folder,
    `${seed}`,
  ])
  const last = new Map<string, number>()
  const pending = new Map<string, number>()
  let done = 0
  const lines = (async () => {
    for await (const said of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
      const [word, key = '', number = ''] = said.split(' ')
      if (!/^\d+$/.test(number)) continue
      if (word === 'begin') pending.set(key, Number(number))
      if (word !== 'end') continue
      pending.delete(key)
      last.set(key, Number(number))
      done++
    }
  })()
  await line(/^end/)
  // Wherever it is by then.
  await delay(randomInt(0, 400))
  child.kill('SIGKILL')
  await ended
  await lines
  // A transaction that it had sent may end a moment later than the process.
  await expect.poll(() => connectionsOf(seed), { timeout: 20_000 }).toBe(0)
  return { last, pending, done }
}

/** Which of two contents a key has, whole; 0 where it has none. */
async function oneOf(key: string, before: number, after: number): Promise<number> {
  const found = await store.getObject('data', key).catch((error) => error)
  if (found instanceof ObjectNotFound) {
    expect([before, after]).toContain(0)
    return 0
  }
  const content = await buffer(found.stream)
  const number = [before, after].find((number) => number !== 0 && content.equals(Buffer.concat(partsOf(number))))
  expect(number, `${key} holds neither ${before} nor ${after}`).toBeDefined()
  expect(found.info.etag).toBe(etagOf(number as number))
  return number as number
}

function etagOf(number: number): string {
  const sums = partsOf(number).map((part) => createHash('md5').update(part).digest())
  const [only] = sums
  if (sums.length === 1 && only) return only.toString('hex')
  return `${createHash('md5').update(Buffer.concat(sums)).digest('hex')}-${sums.length}`
}

async function connectionsOf(seed: number): Promise<number> {
  const rows = await database.dataSource.query(
    'select from pg_stat_activity where datname = current_database() and application_name = $1',
    [`changing ${seed}`],
  )
  return rows.length
}

async function blobs(): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of objects.list(BUCKETS_AREA)) keys.push(key)
  return keys
}

async function named(): Promise<string[]> {
  const rows = await database.dataSource.query(
    'select distinct ref collate "C" as ref from bucket_object cross join unnest(refs) as ref order by 1',
  )
  return rows.map(({ ref }: { ref: string }) => ref)
}
