import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/database.js'
import { EmbeddedObjectStore } from '../../platform/objects/embedded-object-store.js'
import { EmbeddedStores } from '../storage/embedded/embedded-stores.js'
import { NoPresigner } from '../storage/presigner.fake.js'
import { BucketExists, BucketNotEmpty, ObjectNotFound } from '../storage/storage.errors.js'
import type { StorageDriver } from '../storage/storage-driver.js'
import { type Change, type Note, type NotedChanges, notedChanges } from './noted-changes.js'

let database: TestDatabase
let folder: string
let stores: EmbeddedStores
let made = 0

beforeAll(async () => {
  database = await testDatabase()
  folder = await mkdtemp(join(tmpdir(), 'millrace-noted-'))
  stores = new EmbeddedStores({ ...database, objects: new EmbeddedObjectStore(folder), presigner: new NoPresigner() })
  await database.dataSource.query('create table note (change jsonb)')
})

afterAll(async () => {
  await database.drop()
  await rm(folder, { recursive: true, force: true })
})

/** A store, seen as any service is: through the port alone. */
function foreign(store: StorageDriver): StorageDriver {
  return {
    listBuckets: () => store.listBuckets(),
    hasBucket: (name) => store.hasBucket(name),
    createBucket: (name) => store.createBucket(name),
    deleteBucket: (name, options) => store.deleteBucket(name, options),
    listObjects: (bucket, query) => store.listObjects(bucket, query),
    headObject: (bucket, key) => store.headObject(bucket, key),
    getObject: (bucket, key, options) => store.getObject(bucket, key, options),
    putObject: (bucket, key, content, options) => store.putObject(bucket, key, content, options),
    deleteObject: (bucket, key) => store.deleteObject(bucket, key),
    presignGet: (bucket, key, presigning) => store.presignGet(bucket, key, presigning),
    presignPut: (bucket, key, presigning) => store.presignPut(bucket, key, presigning),
    close: () => store.close(),
  }
}

describe.each([
  ['the embedded store', (store: StorageDriver) => store],
  ['another service', foreign],
])('changes of %s', (_, seen) => {
  let driver: StorageDriver
  let changes: NotedChanges

  beforeEach(async () => {
    driver = seen(stores.of(`tenant_${++made}`))
    changes = notedChanges(driver, database.dataSource)
    await database.dataSource.query('truncate note')
    await changes.createBucket('data', note)
  })

  it('leave their notes, and none where they are refused', async () => {
    await expect(changes.createBucket('data', note)).rejects.toThrow(BucketExists)
    await changes.putObject('data', 'a', Readable.from(['1']), { contentType: 'text/plain' }, note)
    await expect(changes.deleteBucket('data', { force: false }, note)).rejects.toThrow(BucketNotEmpty)
    await changes.deleteObject('data', 'a', note)
    await expect(changes.deleteObject('data', 'a', note)).rejects.toThrow(ObjectNotFound)
    await changes.deleteBucket('data', { force: false }, note)
    const state = { size: 1, etag: 'c4ca4238a0b923820dcc509a6f75849b', contentType: 'text/plain' }
    expect(await notes()).toEqual([{}, { after: state }, { before: state }, {}])
  })

  it('may put what waits for its key', async () => {
    const staged = await stores.of(`tenant_${made}`).staged(Readable.from(['waits']))
    const put = await changes.putStaged('data', 'a', staged, { contentType: 'text/plain' }, note)
    expect(put).toMatchObject({ key: 'a', size: 5, contentType: 'text/plain' })
    expect(await text((await driver.getObject('data', 'a')).stream)).toBe('waits')
    expect(await notes()).toHaveLength(2)
  })
})

it('of the embedded store are undone where their note fails', async () => {
  const store = stores.of('tenant_undone')
  const changes = notedChanges(store, database.dataSource)
  const failing: Note = async () => {
    throw new Error('no trail')
  }
  await expect(changes.createBucket('data', failing)).rejects.toThrow('no trail')
  expect(await store.hasBucket('data')).toBe(false)
  await changes.createBucket('data', note)
  await expect(changes.putObject('data', 'a', Readable.from(['1']), {}, failing)).rejects.toThrow('no trail')
  await expect(store.headObject('data', 'a')).rejects.toThrow(ObjectNotFound)
})

const note: Note = async (tx, change) => {
  await tx.query('insert into note values ($1)', [JSON.stringify(change)])
}

async function notes(): Promise<Change[]> {
  return (await database.dataSource.query('select change from note')).map(({ change }: { change: Change }) => change)
}
