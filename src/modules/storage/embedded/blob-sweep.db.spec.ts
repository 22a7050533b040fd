import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { Logger } from '@nestjs/common'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { EmbeddedObjectStore } from '../../../platform/objects/embedded-object-store.js'
import { NoPresigner } from '../presigner.fake.js'
import { ObjectChanged, ObjectNotFound, UploadNotFound } from '../storage.errors.js'
import { BlobSweep } from './blob-sweep.js'
import type { EmbeddedStorage } from './embedded-storage.js'
import { EmbeddedStores } from './embedded-stores.js'
import { LEAST_PART_BYTES } from './multipart-uploads.js'
import { BUCKETS_AREA } from './object-content.js'
import { StorageHousekeeping } from './storage-housekeeping.js'

const MINUTE = 60_000
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
  sweep = new BlobSweep(database.sql, objects, 10 * MINUTE)
  await store.createBucket('data')
})

afterAll(async () => {
  await database.drop()
  await rm(folder, { recursive: true, force: true })
})

describe('what a row let go of', () => {
  it('goes after the grace, unless something names it', async () => {
    for (const content of ['first', 'second', 'copied']) await put('a', content)
    await store.copyObject({ bucket: 'data', key: 'a' }, { bucket: 'data', key: 'b' })
    await store.deleteObject('data', 'a')
    expect(await sweep.sweepReleased(inFuture(9 * MINUTE), never)).toBe(0)
    expect(await blobs()).toBe(3)
    expect(await sweep.sweepReleased(inFuture(11 * MINUTE), never)).toBe(2)
    expect(await text((await store.getObject('data', 'b')).stream)).toBe('copied')
    await store.deleteObject('data', 'b')
    expect(await sweep.sweepReleased(inFuture(11 * MINUTE), never)).toBe(1)
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

  it('is what a refused put leaves, too', async () => {
    await put('a', 'kept')
    const refused = store.putObject('data', 'a', Readable.from(['refused']), { ifNoneMatch: '*' })
    await expect(refused).rejects.toThrow(ObjectChanged)
    const late = store.putObject('data', 'a', Readable.from(['late']), {
      within: () => Promise.reject(new Error('no')),
    })
    await expect(late).rejects.toThrow('no')
    expect(await sweep.sweepReleased(inFuture(11 * MINUTE), never)).toBe(1)
    expect(await blobs()).toBe(1)
  })

  it('stays for as long as somebody reads on', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      const upload = { bucket: 'data', key: 'a', id: await store.uploads.create('data', 'a') }
      const contents = [Buffer.alloc(LEAST_PART_BYTES, '1'), Buffer.from('the end')]
      const parts = []
      for (const [index, content] of contents.entries())
        parts.push(await store.uploads.putPart(upload, index + 1, Readable.from([content])))
      await store.uploads.complete(upload, parts)
      const { stream } = await store.getObject('data', 'a')
      await store.deleteObject('data', 'a')
      await database.dataSource.query(`update bucket_released set released_at = now() - interval '1 hour'`)
      vi.advanceTimersByTime(15_000)
      const renewed = "select from bucket_released where released_at > now() - interval '1 minute'"
      await expect.poll(async () => (await database.dataSource.query(renewed)).length).toBe(2)
      expect(await sweep.sweepReleased(new Date(), never)).toBe(0)
      expect(Buffer.concat(contents).equals(await buffer(stream))).toBe(true)
      expect(vi.getTimerCount()).toBe(0)
      expect(await sweep.sweepReleased(inFuture(11 * MINUTE), never)).toBe(2)
    } finally {
      vi.useRealTimers()
    }
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

describe('a blob that is about to be named', () => {
  const atOnce = () => new BlobSweep(database.sql, objects, 0).sweepReleased(inFuture(MINUTE), never)

  it('stays, however long its put takes', async () => {
    await put('a', 'same')
    await store.deleteObject('data', 'a')
    let swept: number | undefined
    await store.putObject('data', 'b', Readable.from(['same']), {
      within: async () => {
        swept = await atOnce()
      },
    })
    expect(swept).toBe(0)
    expect(await text((await store.getObject('data', 'b')).stream)).toBe('same')
    await store.deleteObject('data', 'b')
    expect(await atOnce()).toBe(1)
  })

  it('is not named where the sweep was faster', async () => {
    const staged = await store.staged(Readable.from(['waits']))
    await staged.release()
    expect(await atOnce()).toBe(1)
    await expect(store.putStaged('data', 'a', staged)).rejects.toMatchObject({ kind: 'unavailable' })
    await expect(store.headObject('data', 'a')).rejects.toThrow(ObjectNotFound)
  })

  it('is whole, of whatever many put and delete while it is swept again and again', async () => {
    let ended = false
    const sweeping = (async () => {
      let removed = 0
      while (!ended) removed += await atOnce()
      return removed
    })()
    const lane = async (number: number) => {
      for (let step = 0; step < 25; step++) {
        const content = `content ${(number + step) % 3}`
        await put(`${number}`, content).catch((error) => expect(error.kind).toBe('unavailable'))
        if (step % 2 === 0 && step < 24) await store.deleteObject('data', `${number}`)
      }
    }
    await Promise.all([0, 1, 2, 3].map(lane))
    ended = true
    expect(await sweeping).toBeGreaterThan(0)
    const { objects: left } = await store.listObjects('data', { limit: 10 })
    for (const { key } of left) expect(await text((await store.getObject('data', key)).stream)).toMatch(/^content \d$/)
  })
})

describe('what no row has ever named', () => {
  it('goes a day later, and unfinished files after an hour', async () => {
    await put('a', 'named')
    const orphan = await objects.put({ area: BUCKETS_AREA, tenantId: 'tenant_sweep' }, Buffer.from('orphan'))
    const values = await objects.put({ area: 'run-values', tenantId: 'tenant_sweep' }, Buffer.from('of somebody else'))
    await writeFile(join(folder, '.incoming', 'half'), 'half')
    expect(await sweep.removeUnfinished(inFuture(59 * MINUTE))).toBe(0)
    expect(await sweep.removeUnfinished(inFuture(61 * MINUTE))).toBe(1)
    expect(await sweep.sweepAll(inFuture(23 * HOUR), never)).toBe(0)
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
  const both = [0, 1].map(() => new StorageHousekeeping(database.sql, objects, { bucketGraceMinutes: 10 }, clock))
  await Promise.all(both.map((one) => one.look()))
  expect(await blobs()).toBe(1)
  now = inFuture(11 * MINUTE)
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
