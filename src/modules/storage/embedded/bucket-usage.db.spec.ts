import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { EmbeddedObjectStore } from '../../../platform/objects/embedded-object-store.js'
import { NoPresigner } from '../presigner.fake.js'
import { StorageQuotaExceeded } from '../storage.errors.js'
import { BlobSweep } from './blob-sweep.js'
import { recounted } from './bucket-usage.fake.js'
import type { EmbeddedStorage } from './embedded-storage.js'
import { EmbeddedStores } from './embedded-stores.js'
import { LEAST_PART_BYTES } from './multipart-uploads.js'

let database: TestDatabase
let folder: string
let objects: EmbeddedObjectStore
let store: EmbeddedStorage
let made = 0

beforeAll(async () => {
  database = await testDatabase()
  folder = await mkdtemp(join(tmpdir(), 'millrace-usage-'))
  objects = new EmbeddedObjectStore(folder)
})

beforeEach(async () => {
  store = storeOf(`tenant_${++made}`)
  await store.createBucket('data')
})

afterAll(async () => {
  await database.drop()
  await rm(folder, { recursive: true, force: true })
})

describe('what a tenant keeps', () => {
  it('is counted by every change', async () => {
    await put('a', 10)
    expect(await store.usage()).toEqual({ bytes: 10, objects: 1 })
    await put('a', 4)
    await store.copyObject({ bucket: 'data', key: 'a' }, { bucket: 'data', key: 'b' })
    expect(await store.usage()).toEqual({ bytes: 8, objects: 2 })
    const upload = { bucket: 'data', key: 'c', id: await store.uploads.create('data', 'c') }
    const part = await store.uploads.putPart(upload, 1, content(3))
    await store.uploads.putPart(upload, 2, content(100))
    await store.uploads.putPart(upload, 2, content(7))
    expect(await store.usage()).toEqual({ bytes: 18, objects: 5 })
    await store.uploads.complete(upload, [part])
    expect(await store.usage()).toEqual({ bytes: 11, objects: 3 })
    const aborted = { bucket: 'data', key: 'd', id: await store.uploads.create('data', 'd') }
    await store.uploads.putPart(aborted, 1, content(5))
    await store.uploads.abort(aborted)
    await store.deleteObjects('data', ['a', 'never'])
    await store.deleteObject('data', 'b')
    expect(await store.usage()).toEqual({ bytes: 3, objects: 1 })
    const left = { bucket: 'data', key: 'e', id: await store.uploads.create('data', 'e') }
    await store.uploads.putPart(left, 1, content(5))
    await store.deleteBucket('data', { force: true })
    expect(await store.usage()).toEqual({ bytes: 0, objects: 0 })
  })

  it('is the same as all that is there, after many changes at once', async () => {
    const other = storeOf(store.tenantId)
    await other.createBucket('more')
    const lanes = Array.from({ length: 6 }, async (_, lane) => {
      for (let step = 0; step < 12; step++) {
        const key = `${(lane + step) % 4}`
        const upload = { bucket: 'data', key, id: await store.uploads.create('data', key) }
        const parts = [await store.uploads.putPart(upload, 1, content(step + 1))]
        if (step % 3 === 0) await store.uploads.complete(upload, parts)
        if (step % 3 === 1) await store.uploads.abort(upload)
        if (step % 4 === 2) await put(key, 20 + step)
        if (step % 4 === 3) await store.deleteObject('data', `${step % 4}`)
        await store
          .copyObject({ bucket: 'data', key }, { bucket: 'more', key: `${lane}` })
          .catch((error) => expect(error.slug).toBe('object-not-found'))
      }
    })
    await Promise.all(lanes)
    const used = await store.usage()
    expect(used).toEqual(await recounted(database.dataSource, store.tenantId))
    expect(used.objects).toBeGreaterThan(20)
    await new BlobSweep(database.sql, objects, 0).endStaleUploads(new Date(Date.now() + 30 * 24 * 3_600_000))
    expect(await store.usage()).toEqual(await recounted(database.dataSource, store.tenantId))
    for (const bucket of ['data', 'more']) await store.deleteBucket(bucket, { force: true })
    expect(await store.usage()).toEqual({ bytes: 0, objects: 0 })
  })

  it('is not counted where a change is undone', async () => {
    const within = () => Promise.reject(new Error('no trail'))
    await expect(store.putObject('data', 'a', content(10), { within })).rejects.toThrow('no trail')
    expect(await store.usage()).toEqual({ bytes: 0, objects: 0 })
  })
})

describe('a quota', () => {
  it('holds, however many come at once', async () => {
    store = storeOf(store.tenantId, { bytes: 100, objects: 1_000 })
    const puts = await Promise.allSettled(Array.from({ length: 25 }, (_, index) => put(`${index}`, 10)))
    expect(puts.filter(({ status }) => status === 'fulfilled')).toHaveLength(10)
    for (const put of puts)
      if (put.status === 'rejected') expect(put.reason).toMatchObject({ slug: 'storage-quota-exceeded' })
    expect(await store.usage()).toEqual({ bytes: 100, objects: 10 })
  })

  it('is of copies and of parts, too, and of each tenant alone', async () => {
    store = storeOf(store.tenantId, { bytes: 100, objects: 1_000 })
    await put('a', 60)
    await expect(store.copyObject({ bucket: 'data', key: 'a' }, { bucket: 'data', key: 'b' })).rejects.toThrow(
      StorageQuotaExceeded,
    )
    const upload = { bucket: 'data', key: 'c', id: await store.uploads.create('data', 'c') }
    const part = await store.uploads.putPart(upload, 1, content(30))
    await expect(store.uploads.putPart(upload, 2, content(11))).rejects.toThrow(
      'There is no room for 11 bytes: of 100 bytes 90 are taken',
    )
    await store.uploads.putPart(upload, 1, content(40))
    await expect(store.uploads.complete(upload, [part])).rejects.toMatchObject({ slug: 'upload-parts-invalid' })
    expect(await store.usage()).toEqual({ bytes: 100, objects: 3 })
    const other = storeOf(`tenant_${++made}`, { bytes: 100, objects: 1_000 })
    await other.createBucket('data')
    await other.putObject('data', 'a', content(100))
  })

  it('lets an object be replaced, and what is deleted makes room at once', async () => {
    store = storeOf(store.tenantId, { bytes: 100, objects: 1 })
    await put('a', 100)
    await put('a', 99)
    await expect(put('a', 101)).rejects.toThrow('There is no room for 101 bytes: of 100 bytes 99 are taken')
    await expect(put('b', 1)).rejects.toThrow('There is no room for another object: of 1 objects')
    await store.deleteObject('data', 'a')
    await put('b', 100)
  })

  it('that was lowered refuses what adds, and nothing else', async () => {
    await put('a', 100)
    await put('b', 100)
    store = storeOf(store.tenantId, { bytes: 50, objects: 1 })
    await expect(put('a', 101)).rejects.toThrow(StorageQuotaExceeded)
    await expect(put('c', 1)).rejects.toThrow(StorageQuotaExceeded)
    await store.deleteObject('data', 'b')
    expect(await store.usage()).toEqual({ bytes: 100, objects: 1 })
  })

  it('ends what is too long before all of it was read', async () => {
    store = storeOf(store.tenantId, { bytes: 2 * LEAST_PART_BYTES, objects: 10 })
    let read = 0
    const endless = Readable.from(
      (function* () {
        for (;;) {
          read += 65_536
          yield Buffer.alloc(65_536)
        }
      })(),
    )
    await expect(store.putObject('data', 'a', endless)).rejects.toThrow(StorageQuotaExceeded)
    expect(read).toBeLessThan(3 * LEAST_PART_BYTES)
    const said = Readable.from([Buffer.alloc(1)])
    await expect(store.putObject('data', 'a', said, { size: 2 ** 40 })).rejects.toThrow(StorageQuotaExceeded)
    await expect(store.staged(content(3 * LEAST_PART_BYTES))).rejects.toThrow(StorageQuotaExceeded)
    expect(await store.usage()).toEqual({ bytes: 0, objects: 0 })
  })
})

function storeOf(tenantId: string, quota?: { bytes: number; objects: number }): EmbeddedStorage {
  return new EmbeddedStores({ ...database, objects, presigner: new NoPresigner(), ...(quota && { quota }) }).of(
    tenantId,
  )
}

function put(key: string, size: number) {
  return store.putObject('data', key, content(size))
}

function content(size: number): Readable {
  return Readable.from([Buffer.alloc(size, `${size}`)])
}
