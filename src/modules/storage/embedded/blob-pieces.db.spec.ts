import { randomBytes } from 'node:crypto'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { EmbeddedObjectStore } from '../../../platform/objects/embedded-object-store.js'
import { ObjectDamaged } from '../../../platform/objects/objects.errors.js'
import { NoPresigner } from '../presigner.fake.js'
import { PIECE_BYTES } from './blob-pieces.js'
import { BlobSweep } from './blob-sweep.js'
import type { EmbeddedStorage } from './embedded-storage.js'
import { EmbeddedStores } from './embedded-stores.js'

const content = randomBytes(3 * PIECE_BYTES + 1_000)

let database: TestDatabase
let folder: string
let objects: EmbeddedObjectStore
let store: EmbeddedStorage
let made = 0

beforeAll(async () => {
  database = await testDatabase()
  folder = await mkdtemp(join(tmpdir(), 'millrace-pieces-'))
  objects = new EmbeddedObjectStore(folder)
})

beforeEach(async () => {
  store = new EmbeddedStores({ ...database, objects, presigner: new NoPresigner() }).of(`tenant_${++made}`)
  await store.createBucket('data')
})

afterAll(async () => {
  await database.drop()
  await rm(folder, { recursive: true, force: true })
})

it('a range is what was put, wherever it begins and ends', async () => {
  await put('a', content)
  const borders = [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 2 * PIECE_BYTES + 7, content.length - 2, content.length - 1]
  for (const first of borders)
    for (const last of borders.filter((border) => border >= first))
      expect((await range('a', first, last)).equals(content.subarray(first, last + 1))).toBe(true)
})

it('a range of damaged pieces is not answered, of others it is', async () => {
  await put('a', content)
  await damage('a', 2 * PIECE_BYTES + 500)
  await expect(range('a', 2 * PIECE_BYTES, 2 * PIECE_BYTES + 9)).rejects.toThrow(ObjectDamaged)
  expect((await range('a', 5, 2 * PIECE_BYTES - 1)).equals(content.subarray(5, 2 * PIECE_BYTES))).toBe(true)
  expect(await range('a', content.length - 3, content.length - 1)).toEqual(content.subarray(-3))
  const { stream } = await store.getObject('data', 'a', { range: { first: 10 } })
  const read: Buffer[] = []
  await expect(
    (async () => {
      for await (const chunk of stream) read.push(chunk)
    })(),
  ).rejects.toThrow(ObjectDamaged)
  expect(content.subarray(10).indexOf(Buffer.concat(read))).toBe(0)
})

it('a range of a small content is checked against the whole', async () => {
  await put('a', Buffer.from('precious'))
  expect((await range('a', 0, 3)).toString()).toBe('prec')
  await damage('a', 6)
  await expect(range('a', 0, 3)).rejects.toThrow(ObjectDamaged)
})

it('the last bytes of a damaged content are not given out', async () => {
  await put('a', content)
  await damage('a', 5)
  const { stream } = await store.getObject('data', 'a')
  let length = 0
  await expect(
    (async () => {
      for await (const chunk of stream) length += chunk.length
    })(),
  ).rejects.toThrow(ObjectDamaged)
  expect(length).toBeLessThan(content.length)
})

it('a range of parts of an upload is checked in each of them', async () => {
  const upload = { bucket: 'data', key: 'a', id: await store.uploads.create('data', 'a') }
  const parts = [Buffer.concat([content, content]), content]
  const put = []
  for (const [index, part] of parts.entries())
    put.push(await store.uploads.putPart(upload, index + 1, Readable.from([part])))
  await store.uploads.complete(upload, put)
  const whole = Buffer.concat(parts)
  const [first, last] = [parts[0]?.length ?? 0, whole.length - 1]
  expect((await range('a', first - 5, last - 5)).equals(whole.subarray(first - 5, last - 4))).toBe(true)
  await damage('a', first - 1)
  await expect(range('a', first - 5, last - 5)).rejects.toThrow(ObjectDamaged)
})

it('objects from before there were hashes are read as they were', async () => {
  await put('a', content)
  await database.dataSource.query('delete from bucket_blob_hashes')
  expect((await range('a', 10, PIECE_BYTES)).equals(content.subarray(10, PIECE_BYTES + 1))).toBe(true)
})

it('hashes go with their blob', async () => {
  const content = randomBytes(2 * PIECE_BYTES)
  await put('a', content)
  await put('b', content)
  await store.deleteObject('data', 'a')
  const sweep = new BlobSweep(database.sql, objects, 0)
  const [now, never] = [new Date(Date.now() + 60_000), new AbortController().signal]
  await sweep.sweepReleased(now, never)
  expect((await range('b', 0, 9)).equals(content.subarray(0, 10))).toBe(true)
  expect(await hashes()).toBe(1)
  await store.deleteObject('data', 'b')
  await sweep.sweepReleased(now, never)
  expect(await hashes()).toBe(0)
})

function put(key: string, bytes: Buffer) {
  return store.putObject('data', key, Readable.from([bytes]))
}

async function range(key: string, first: number, last: number): Promise<Buffer> {
  return await buffer((await store.getObject('data', key, { range: { first, last } })).stream)
}

/** Turns a bit of the object's first blob. */
async function damage(key: string, at: number): Promise<void> {
  const [{ ref }] = await database.dataSource.query(
    'select refs[1] as ref from bucket_object where tenant_id = $1 and key = $2',
    [store.tenantId, key],
  )
  const sha256 = ref.split(':')[1]
  const file = await open(join(folder, 'buckets', store.tenantId, sha256.slice(0, 2), sha256), 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, at)
  byte[0] = (byte[0] ?? 0) ^ 1
  await file.write(byte, 0, 1, at)
  await file.close()
}

async function hashes(): Promise<number> {
  const rows = await database.dataSource.query('select from bucket_blob_hashes where tenant_id = $1', [store.tenantId])
  return rows.length
}
