import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { Logger } from '@nestjs/common'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { EmbeddedObjectStore } from '../../../platform/objects/embedded-object-store.js'
import { NoPresigner } from '../presigner.fake.js'
import { UploadNotFound } from '../storage.errors.js'
import { BlobSweep } from './blob-sweep.js'
import type { EmbeddedStorage } from './embedded-storage.js'
import { EmbeddedStores } from './embedded-stores.js'
import { BUCKETS_AREA } from './object-content.js'
import { StorageHousekeeping } from './storage-housekeeping.js'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const never = new AbortController().signal

let database: TestDatabase
let folder: string
let objects: EmbeddedObjectStore
let store: EmbeddedStorage
let sweep: BlobSweep

beforeAll(async () => {
  Logger.overrideLogger(false)
  database = await testDatabase()
  folder = await mkdtemp(join(tmpdir(), 'millrace-sweep-'))
})

beforeEach(async () => {
  await rm(folder, { recursive: true, force: true })
  await database.dataSource.query(
    'truncate bucket, bucket_object, bucket_upload, bucket_upload_part, bucket_released, chore',
  )
  objects = new EmbeddedObjectStore(folder)
  store = new EmbeddedStores({ ...database, objects, presigner: new NoPresigner() }).of('tenant_sweep')
  sweep = new BlobSweep(database.sql, objects)
  await store.createBucket('data')
})

afterAll(async () => {
  await database.drop()
  await rm(folder, { recursive: true, force: true })
})

describe('what a row let go of', () => {
  it('goes a day later, unless something names it', async () => {
    for (const content of ['first', 'second', 'copied']) await put('a', content)
    await store.copyObject({ bucket: 'data', key: 'a' }, { bucket: 'data', key: 'b' })
    await store.deleteObject('data', 'a')
    expect(await sweep.sweepReleased(inFuture(23 * HOUR), never)).toBe(0)
    expect(await blobs()).toBe(3)
    expect(await sweep.sweepReleased(inFuture(25 * HOUR), never)).toBe(2)
    expect(await text((await store.getObject('data', 'b')).stream)).toBe('copied')
    await store.deleteObject('data', 'b')
    expect(await sweep.sweepReleased(inFuture(25 * HOUR), never)).toBe(1)
    expect(await blobs()).toBe(0)
  })

  it('stays where it was let go of again since, or put again', async () => {
    await put('a', 'same')
    await put('a', 'other')
    await database.dataSource.query(`update bucket_released set released_at = now() - interval '2 days'`)
    await put('a', 'same')
    await put('a', 'other')
    expect(await sweep.sweepReleased(new Date(), never)).toBe(0)
    await store.deleteObject('data', 'a')
    expect(await sweep.sweepReleased(inFuture(25 * HOUR), never)).toBe(2)
  })

  it('is of its tenant: the same content of another stays', async () => {
    const other = new EmbeddedStores({ ...database, objects, presigner: new NoPresigner() }).of('tenant_other')
    await other.createBucket('data')
    await other.putObject('data', 'a', Readable.from(['same']))
    await put('a', 'same')
    await store.deleteBucket('data', { force: true })
    await sweep.sweepReleased(inFuture(25 * HOUR), never)
    expect(await text((await other.getObject('data', 'a')).stream)).toBe('same')
  })
})

describe('what no row has ever named', () => {
  it('goes a day later, and so do unfinished files', async () => {
    await put('a', 'named')
    const orphan = await objects.put({ area: BUCKETS_AREA, tenantId: 'tenant_sweep' }, Buffer.from('orphan'))
    const values = await objects.put({ area: 'run-values', tenantId: 'tenant_sweep' }, Buffer.from('of somebody else'))
    await writeFile(join(folder, '.incoming', 'half'), 'half')
    expect(await sweep.sweepAll(inFuture(23 * HOUR), never)).toBe(0)
    await utimes(join(folder, '.incoming', 'half'), new Date(), new Date())
    expect(await sweep.sweepAll(inFuture(25 * HOUR), never)).toBe(1)
    expect(await readdir(join(folder, '.incoming'))).toEqual([])
    await expect(objects.read({ area: BUCKETS_AREA, tenantId: 'tenant_sweep' }, orphan.key)).rejects.toThrow()
    await objects.read({ area: 'run-values', tenantId: 'tenant_sweep' }, values.key)
    expect(await text((await store.getObject('data', 'a')).stream)).toBe('named')
  })
})

describe('an upload', () => {
  it('is given up when it has rested for a week, with its parts', async () => {
    const resting = { bucket: 'data', key: 'a', id: await store.uploads.create('data', 'a') }
    await store.uploads.putPart(resting, 1, Readable.from(['x']))
    expect(await sweep.endStaleUploads(inFuture(6 * DAY))).toBe(0)
    await database.dataSource.query(`update bucket_upload set begun_at = now() - interval '8 days'`)
    // A part came lately.
    expect(await sweep.endStaleUploads(new Date())).toBe(0)
    expect(await sweep.endStaleUploads(inFuture(8 * DAY))).toBe(1)
    await expect(store.uploads.putPart(resting, 2, Readable.from(['y']))).rejects.toThrow(UploadNotFound)
    await sweep.sweepReleased(inFuture(9 * DAY), never)
    expect(await blobs()).toBe(0)
  })

  it('keeps its parts from the sweep, and hands them to its object', async () => {
    const upload = { bucket: 'data', key: 'a', id: await store.uploads.create('data', 'a') }
    await store.uploads.putPart(upload, 1, Readable.from(['replaced']))
    const part = await store.uploads.putPart(upload, 1, Readable.from(['kept']))
    await sweep.sweepAll(inFuture(2 * DAY), never)
    expect(await blobs()).toBe(1)
    await store.uploads.complete(upload, [part])
    await sweep.sweepReleased(inFuture(2 * DAY), never)
    await sweep.sweepAll(inFuture(2 * DAY), never)
    expect(await text((await store.getObject('data', 'a')).stream)).toBe('kept')
  })
})

it('is swept by one process, now and then', async () => {
  await put('a', 'x')
  await store.deleteObject('data', 'a')
  let now = new Date()
  const clock = { now: () => now, at: () => () => {} }
  const both = [0, 1].map(() => new StorageHousekeeping(database.sql, objects, clock))
  await Promise.all(both.map((one) => one.look()))
  expect(await blobs()).toBe(1)
  now = inFuture(25 * HOUR)
  await Promise.all(both.map((one) => one.look()))
  expect(await blobs()).toBe(0)
  await Promise.all(both.map((one) => one.beforeApplicationShutdown()))
})

function put(key: string, content: string) {
  return store.putObject('data', key, Readable.from([content]))
}

function inFuture(ms: number): Date {
  return new Date(Date.now() + ms)
}

async function blobs(): Promise<number> {
  let count = 0
  for await (const _ of objects.list(BUCKETS_AREA)) count++
  return count
}
