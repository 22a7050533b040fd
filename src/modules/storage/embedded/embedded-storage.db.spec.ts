import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { EmbeddedObjectStore } from '../../../platform/objects/embedded-object-store.js'
import { ObjectDamaged } from '../../../platform/objects/objects.errors.js'
import { NoPresigner } from '../presigner.fake.js'
import {
  BucketExists,
  BucketNotEmpty,
  BucketNotFound,
  ObjectChanged,
  ObjectExists,
  ObjectKeyInvalid,
  ObjectNotFound,
  PartInvalid,
  PartsOutOfOrder,
  PartTooSmall,
  RangeNotSatisfiable,
  SizeMismatch,
  UploadNotFound,
} from '../storage.errors.js'
import type { EmbeddedStorage } from './embedded-storage.js'
import { EmbeddedStores } from './embedded-stores.js'
import { LEAST_PART_BYTES } from './multipart-uploads.js'

let database: TestDatabase
let folder: string
let stores: EmbeddedStores
let store: EmbeddedStorage
let made = 0

beforeAll(async () => {
  database = await testDatabase()
  folder = await mkdtemp(join(tmpdir(), 'millrace-buckets-'))
  const objects = new EmbeddedObjectStore(folder)
  stores = new EmbeddedStores({ ...database, objects, presigner: new NoPresigner() })
})

beforeEach(async () => {
  store = stores.of(`tenant_${++made}`)
  await store.createBucket('data')
})

afterAll(async () => {
  await database.drop()
  await rm(folder, { recursive: true, force: true })
})

describe('buckets', () => {
  it('are their tenant’s own, by name', async () => {
    await store.createBucket('a-b')
    await store.createBucket('a')
    await store.createBucket('a.b')
    expect((await store.listBuckets()).map(({ name }) => name)).toEqual(['a', 'a-b', 'a.b', 'data'])
    expect(await stores.of('tenant_other').listBuckets()).toEqual([])
    expect(await stores.of('tenant_other').hasBucket('data')).toBe(false)
    await expect(stores.of('tenant_other').headObject('data', 'x')).rejects.toThrow(BucketNotFound)
    await expect(store.createBucket('data')).rejects.toThrow(BucketExists)
  })

  it('go when they are empty, or with all that is in them', async () => {
    await put('a', 'b')
    await expect(store.deleteBucket('data', { force: false })).rejects.toThrow(BucketNotEmpty)
    await store.uploads.create('data', 'unfinished')
    await store.deleteBucket('data', { force: true })
    await expect(store.deleteBucket('data', { force: true })).rejects.toThrow(BucketNotFound)
    await expect(put('a', 'b')).rejects.toThrow(BucketNotFound)
    await expect(store.listObjects('data', { limit: 1 })).rejects.toThrow(BucketNotFound)
    await store.createBucket('data')
    expect((await store.listObjects('data', { limit: 1 })).objects).toEqual([])
  })

  it('that go while something is put are gone, or still there with it', async () => {
    for (let round = 0; round < 10; round++) {
      const bucket = `round-${round}`
      await store.createBucket(bucket)
      const [stored, removed] = await Promise.allSettled([
        store.putObject(bucket, 'a', Readable.from(['x'])),
        store.deleteBucket(bucket, { force: false }),
      ])
      expect(stored.status).not.toBe(removed.status)
      expect(await store.hasBucket(bucket)).toBe(stored.status === 'fulfilled')
    }
  })
})

describe('an object', () => {
  it('is told as it was put', async () => {
    const put = await store.putObject('data', 'a/b.txt', Readable.from(['hello ', 'world']), {
      contentType: 'text/plain',
      metadata: { colour: 'blue' },
      headers: { cacheControl: 'no-cache', contentEncoding: 'identity' },
      size: 11,
    })
    expect(put).toEqual({
      key: 'a/b.txt',
      size: 11,
      etag: createHash('md5').update('hello world').digest('hex'),
      lastModified: expect.any(Date),
      contentType: 'text/plain',
      metadata: { colour: 'blue' },
      headers: { cacheControl: 'no-cache', contentEncoding: 'identity' },
      tags: {},
      partSizes: [11],
    })
    expect(await store.headObject('data', 'a/b.txt')).toEqual(put)
    expect(await text('a/b.txt')).toBe('hello world')
    await expect(store.headObject('data', 'a/b')).rejects.toThrow(ObjectNotFound)
  })

  it.each([
    '..',
    '../../etc/passwd',
    '/',
    '//a//',
    ' ',
    'a\nb',
    '.incoming',
    "'; drop table bucket; --",
    '%00%2e',
    'ключ/鍵/🔑',
    '\u0001',
    '\u{10ffff}',
    '__proto__',
    'é'.repeat(512),
  ])('is kept under the key %j, literally', async (key) => {
    await put(key, key)
    expect(await text(key)).toBe(key)
    expect((await store.listObjects('data', { limit: 10 })).objects.map((object) => object.key)).toEqual([key])
    expect((await readdir(folder)).sort()).toEqual(['.incoming', 'buckets'])
    await store.deleteObject('data', key)
    await expect(text(key)).rejects.toThrow(ObjectNotFound)
  })

  it.each(['', 'a\0b', 'x'.repeat(1_025), 'é'.repeat(513), '\ud800'])('has no such key as %j', async (key) => {
    await expect(put(key, 'x')).rejects.toThrow(ObjectKeyInvalid)
    await expect(store.headObject('data', key)).rejects.toThrow(ObjectNotFound)
    await store.deleteObject('data', key)
  })

  it('is not found by names that nothing can have', async () => {
    await put('a', 'x')
    const nul = 'a\0'
    await expect(store.headObject(nul, 'a')).rejects.toThrow(BucketNotFound)
    await expect(store.getObject('data', nul)).rejects.toThrow(ObjectNotFound)
    await expect(store.deleteBucket(nul, { force: true })).rejects.toThrow(BucketNotFound)
    await expect(store.deleteObject(nul, 'a')).rejects.toThrow(BucketNotFound)
    await expect(store.listObjects(nul, { limit: 1 })).rejects.toThrow(BucketNotFound)
    await expect(store.copyObject({ bucket: 'data', key: nul }, { bucket: 'data', key: 'b' })).rejects.toThrow(
      ObjectNotFound,
    )
    await expect(store.uploads.create(nul, 'a')).rejects.toThrow(BucketNotFound)
    await expect(store.uploads.abort({ bucket: 'data', key: 'a', id: nul })).rejects.toThrow(UploadNotFound)
    expect(await store.deleteObjects('data', [nul])).toEqual([])
    expect((await store.listObjects('data', { limit: 9, prefix: nul })).objects).toEqual([])
    expect((await store.listObjects('data', { limit: 9, delimiter: '\0' })).objects).toHaveLength(1)
    expect((await store.uploads.list('data', { limit: 9, prefix: nul })).uploads).toEqual([])
  })

  it('may be empty', async () => {
    expect((await put('empty', '')).etag).toBe('d41d8cd98f00b204e9800998ecf8427e')
    expect(await text('empty')).toBe('')
    await expect(get('empty', { first: 0 })).rejects.toThrow(RangeNotSatisfiable)
  })

  it('is refused, and nothing kept of it, where it is not as long as said or breaks off', async () => {
    for (const size of [4, 6]) {
      await expect(store.putObject('data', 'a', Readable.from(['12345']), { size })).rejects.toThrow(SizeMismatch)
    }
    const broken = Readable.from(
      (async function* () {
        yield Buffer.from('half of')
        throw new Error('the source broke')
      })(),
    )
    await expect(store.putObject('data', 'a', broken)).rejects.toThrow('the source broke')
    const given = new AbortController()
    const endless = new Readable({ read() {} })
    const putting = store.putObject('data', 'a', endless, { signal: given.signal })
    endless.push('something')
    given.abort()
    await expect(putting).rejects.toThrow('aborted')
    await expect(store.headObject('data', 'a')).rejects.toThrow(ObjectNotFound)
    expect(await readdir(join(folder, '.incoming'))).toEqual([])
  })

  it('that nobody wants is not read', async () => {
    const unread = Readable.from(['x'])
    await expect(store.putObject('nowhere', 'a', unread)).rejects.toThrow(BucketNotFound)
    expect(unread.destroyed).toBe(true)
  })

  it('is put under conditions', async () => {
    await expect(store.putObject('data', 'a', Readable.from(['1']), { ifMatch: '*' })).rejects.toThrow(ObjectNotFound)
    const first = await store.putObject('data', 'a', Readable.from(['1']), { onlyNew: true, ifNoneMatch: '*' })
    await expect(store.putObject('data', 'a', Readable.from(['2']), { onlyNew: true })).rejects.toThrow(ObjectExists)
    await expect(store.putObject('data', 'a', Readable.from(['2']), { ifNoneMatch: '*' })).rejects.toThrow(
      ObjectChanged,
    )
    await store.putObject('data', 'a', Readable.from(['2']), { ifMatch: [first.etag] })
    await expect(store.putObject('data', 'a', Readable.from(['3']), { ifMatch: [first.etag] })).rejects.toThrow(
      ObjectChanged,
    )
    expect(await text('a')).toBe('2')
  })

  it('is made once by many that make it only where there is none', async () => {
    const all = await Promise.allSettled(
      Array.from({ length: 8 }, (_, number) =>
        store.putObject('data', 'one', Readable.from([`${number}`]), { onlyNew: true }),
      ),
    )
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    const released = await database.dataSource.query(
      `select from bucket_released join bucket_object object on ref = any(refs)
        where object.tenant_id = $1 and bucket_released.tenant_id = $1`,
      [store.tenantId],
    )
    expect(released).toEqual([])
  })

  it('that many put at once is one of theirs, and what the others put is let go of', async () => {
    await Promise.all(Array.from({ length: 8 }, (_, number) => put('one', `${number}`)))
    expect(await text('one')).toMatch(/^[0-7]$/)
    const [row] = await database.dataSource.query(
      'select count(*)::int as released from bucket_released where tenant_id = $1',
      [store.tenantId],
    )
    expect(row).toEqual({ released: 7 })
  })

  it('is read in ranges', async () => {
    await put('a', '0123456789')
    expect(await get('a', { first: 2, last: 4 })).toEqual(['234', { first: 2, last: 4 }])
    expect(await get('a', { first: 7 })).toEqual(['789', { first: 7, last: 9 }])
    expect(await get('a', { first: 7, last: 99 })).toEqual(['789', { first: 7, last: 9 }])
    expect(await get('a', { suffix: 3 })).toEqual(['789', { first: 7, last: 9 }])
    expect(await get('a', { suffix: 30 })).toEqual(['0123456789', { first: 0, last: 9 }])
    for (const range of [{ first: 10 }, { suffix: 0 }, { first: 5, last: 4 }])
      await expect(get('a', range)).rejects.toThrow(RangeNotSatisfiable)
  })

  it('is copied without its content, with its attributes or new ones', async () => {
    await store.createBucket('other')
    const source = await store.putObject('data', 'a', Readable.from(['x']), {
      contentType: 'text/plain',
      metadata: { m: '1' },
    })
    const copy = await store.copyObject({ bucket: 'data', key: 'a' }, { bucket: 'other', key: 'b' })
    expect(copy).toMatchObject({ etag: source.etag, contentType: 'text/plain', metadata: { m: '1' } })
    const itself = { bucket: 'data', key: 'a' }
    const attributes = { contentType: 'text/html' }
    expect(await store.copyObject(itself, itself, { attributes })).toMatchObject({
      contentType: 'text/html',
      metadata: {},
    })
    await store.deleteObject('data', 'a')
    expect(await buffer((await store.getObject('other', 'b')).stream)).toEqual(Buffer.from('x'))
    await expect(store.copyObject(itself, itself)).rejects.toThrow(ObjectNotFound)
    await expect(store.copyObject({ bucket: 'other', key: 'b' }, itself, { sourceIfMatch: ['else'] })).rejects.toThrow(
      ObjectChanged,
    )
  })

  it('tells when its content is not what was put', async () => {
    await put('a', 'precious')
    const [{ ref }] = await database.dataSource.query('select refs[1] as ref from bucket_object where tenant_id = $1', [
      store.tenantId,
    ])
    const sha256 = ref.split(':')[1]
    const path = join(folder, 'buckets', store.tenantId, sha256.slice(0, 2), sha256)
    await writeFile(path, 'precioux')
    await expect(text('a')).rejects.toThrow(ObjectDamaged)
    await writeFile(path, 'short')
    await expect(get('a', { first: 0, last: 0 })).rejects.toThrow(ObjectDamaged)
  })

  it('takes along what joins its transaction, or does not change', async () => {
    const refuse = async () => {
      throw new Error('not noted')
    }
    await expect(store.putObject('data', 'a', Readable.from(['1']), { within: refuse })).rejects.toThrow('not noted')
    await expect(text('a')).rejects.toThrow(ObjectNotFound)
    await put('a', '1')
    await expect(store.deleteObject('data', 'a', { within: refuse })).rejects.toThrow('not noted')
    expect(await text('a')).toBe('1')
    const seen: unknown[] = []
    await store.putObject('data', 'a', Readable.from(['22']), {
      within: async (_, { before, after }) => void seen.push([before?.size, after?.size]),
    })
    expect(seen).toEqual([[1, 2]])
    await expect(store.createBucket('new', { within: refuse })).rejects.toThrow('not noted')
    expect(await store.hasBucket('new')).toBe(false)
  })

  it('goes with many at once', async () => {
    for (const key of ['a', 'b', 'c']) await put(key, key)
    expect((await store.deleteObjects('data', ['a', 'c', 'd'])).map(({ key }) => key).sort()).toEqual(['a', 'c'])
    expect((await store.listObjects('data', { limit: 9 })).objects.map(({ key }) => key)).toEqual(['b'])
  })
})

describe('a list', () => {
  const keys = ['a', 'a/', 'a/b', 'a/b/c', 'a/z', 'a0', 'b/1', 'b/2', 'z', 'é', '\uffee', '🔑']

  beforeEach(async () => {
    for (const key of keys.toReversed()) await put(key, 'x')
  })

  it('is in the order of UTF-8 bytes, by pages of any size', async () => {
    for (const limit of [1, 2, 5, 100]) expect(await walk({ limit })).toEqual(keys)
    // UTF-16 has it the other way round.
    expect('\uffee' < '🔑').toBe(false)
  })

  it('shows folders up to their delimiter, by pages of any size', async () => {
    for (const limit of [1, 2, 3, 100]) {
      expect(await walk({ limit, delimiter: '/' })).toEqual(['a', 'a/…', 'a0', 'b/…', 'z', 'é', '\uffee', '🔑'])
      expect(await walk({ limit, delimiter: '/', prefix: 'a/' })).toEqual(['a/', 'a/b', 'a/b/…', 'a/z'])
      expect(await walk({ limit, prefix: 'a/' })).toEqual(['a/', 'a/b', 'a/b/c', 'a/z'])
      expect(await walk({ limit, prefix: 'a', delimiter: 'b' })).toEqual(['a', 'a/', 'a/b…', 'a/z', 'a0'])
    }
    expect(await walk({ limit: 5, prefix: '%' })).toEqual([])
    expect(await walk({ limit: 5, prefix: '\u{10ffff}', delimiter: '\u{10ffff}' })).toEqual([])
  })

  it('starts behind a key, or behind a folder', async () => {
    expect(await walk({ limit: 3, startAfter: 'b/1' })).toEqual(['b/2', 'z', 'é', '\uffee', '🔑'])
    expect(await walk({ limit: 3, startAfter: 'b/1', delimiter: '/' })).toEqual(['b/…', 'z', 'é', '\uffee', '🔑'])
    expect(await walk({ limit: 3, startAfter: 'b/', delimiter: '/' })).toEqual(['z', 'é', '\uffee', '🔑'])
    expect(await walk({ limit: 3, startAfter: 'a', prefix: 'b' })).toEqual(['b/1', 'b/2'])
    expect(await walk({ limit: 3, startAfter: 'c', prefix: 'b' })).toEqual([])
  })

  it.each(['', '!', 'AA==', 'gIA', 'AA', 'x'.repeat(5_000)])('continues from nothing like %j', async (continuation) => {
    await expect(store.listObjects('data', { limit: 1, continuation })).rejects.toThrow('continuation')
  })

  it('tells thousands of folders with thousands of objects in time', async () => {
    await database.dataSource.query(
      `insert into bucket_object select tenant_id, bucket, 'many/' || folder || '/' || number, size, etag, refs, content_type, headers, metadata, last_modified
        from bucket_object, generate_series(1, 200) folder, generate_series(1, 200) number
        where tenant_id = $1 and key = 'a'`,
      [store.tenantId],
    )
    const page = await store.listObjects('data', { limit: 1_000, delimiter: '/', prefix: 'many/' })
    expect(page.folders).toHaveLength(200)
    expect(page.next).toBeUndefined()
  })

  async function walk(query: { limit: number; prefix?: string; delimiter?: string; startAfter?: string }) {
    const told: string[] = []
    let continuation: string | undefined
    do {
      const page = await store.listObjects('data', { ...query, continuation })
      const names = [...page.objects.map(({ key }) => [key, key]), ...page.folders.map((name) => [name, `${name}…`])]
      expect(names.length).toBeLessThanOrEqual(query.limit)
      names.sort(([a = ''], [b = '']) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      told.push(...names.map(([, shown]) => shown as string))
      continuation = page.next
    } while (continuation !== undefined)
    return told
  }
})

describe('an upload in parts', () => {
  const big = randomBytes(LEAST_PART_BYTES)
  const bigger = randomBytes(LEAST_PART_BYTES + 7)

  it('becomes one object of its parts, whatever order they came in', async () => {
    const upload = await begun('video', { contentType: 'video/mp4', metadata: { m: '1' } })
    const last = await part(upload, 9, 'the end')
    await part(upload, 2, 'replaced')
    const second = await part(upload, 2, bigger)
    const first = await part(upload, 1, big)
    await part(upload, 5, 'left out')
    const { parts, isLast } = await store.uploads.parts(upload, { after: 1, limit: 2 })
    expect([parts.map(({ number }) => number), isLast]).toEqual([[2, 5], false])
    const object = await store.uploads.complete(upload, [first, second, last])
    const md5 = (content: Buffer | string) => createHash('md5').update(content).digest()
    const sum = md5(Buffer.concat([md5(big), md5(bigger), md5('the end')])).toString('hex')
    expect(object).toMatchObject({
      etag: `${sum}-3`,
      size: big.length + bigger.length + 7,
      contentType: 'video/mp4',
      metadata: { m: '1' },
      partSizes: [big.length, bigger.length, 7],
    })
    const whole = Buffer.concat([big, bigger, Buffer.from('the end')])
    expect((await buffer((await store.getObject('data', 'video')).stream)).equals(whole)).toBe(true)
    await expect(store.uploads.parts(upload, { limit: 1 })).rejects.toThrow(UploadNotFound)
    const borders = [0, 1, big.length - 1, big.length, whole.length - 8, whole.length - 7, whole.length - 1]
    for (const from of borders)
      for (const to of borders.filter((border) => border >= from)) {
        const { stream } = await store.getObject('data', 'video', { range: { first: from, last: to } })
        expect((await buffer(stream)).equals(whole.subarray(from, to + 1))).toBe(true)
      }
  })

  it('is completed from the parts that are there, in order, and large enough', async () => {
    const upload = await begun('a')
    const [first, second] = [await part(upload, 1, 'small'), await part(upload, 2, big)]
    const complete = (...parts: { number: number; etag: string }[]) => store.uploads.complete(upload, parts)
    await expect(complete()).rejects.toThrow(PartInvalid)
    await expect(complete({ ...first, etag: second.etag })).rejects.toThrow(PartInvalid)
    await expect(complete(first, { number: 3, etag: first.etag })).rejects.toThrow(PartInvalid)
    await expect(complete(second, first)).rejects.toThrow(PartsOutOfOrder)
    await expect(complete(first, first)).rejects.toThrow(PartsOutOfOrder)
    await expect(complete(first, second)).rejects.toThrow(PartTooSmall)
    expect((await complete(second)).size).toBe(big.length)
  })

  it('is of one object of one tenant, and gone once it is aborted', async () => {
    const upload = await begun('a')
    await part(upload, 1, 'x')
    await expect(part({ ...upload, key: 'b' }, 1, 'x')).rejects.toThrow(UploadNotFound)
    await stores.of('tenant_stranger').createBucket('data')
    await expect(stores.of('tenant_stranger').uploads.abort(upload)).rejects.toThrow(UploadNotFound)
    for (const number of [0, 10_001, 1.5]) await expect(part(upload, number, 'x')).rejects.toThrow(PartInvalid)
    await store.uploads.abort(upload)
    await expect(part(upload, 1, 'x')).rejects.toThrow(UploadNotFound)
    await expect(store.uploads.abort(upload)).rejects.toThrow(UploadNotFound)
    await expect(store.headObject('data', 'a')).rejects.toThrow(ObjectNotFound)
  })

  it('is listed by key and in the order of making', async () => {
    const ids: string[] = []
    for (const key of ['b', 'a', 'b', 'c']) ids.push((await begun(key)).id)
    const [b1, a, b2, c] = ids as [string, string, string, string]
    const list = async (query: { prefix?: string; after?: { key: string; id?: string }; limit: number }) => {
      const { uploads, isLast } = await store.uploads.list('data', query)
      return [uploads.map(({ id }) => id), isLast]
    }
    expect(await list({ limit: 4 })).toEqual([[a, b1, b2, c], true])
    expect(await list({ limit: 2 })).toEqual([[a, b1], false])
    expect(await list({ limit: 2, after: { key: 'b', id: b1 } })).toEqual([[b2, c], true])
    expect(await list({ limit: 2, after: { key: 'b' } })).toEqual([[c], true])
    expect(await list({ limit: 9, prefix: 'b' })).toEqual([[b1, b2], true])
  })

  async function begun(key: string, attributes = {}) {
    return { bucket: 'data', key, id: await store.uploads.create('data', key, attributes) }
  }

  function part(upload: { bucket: string; key: string; id: string }, number: number, content: string | Buffer) {
    return store.uploads.putPart(upload, number, Readable.from([Buffer.from(content)]))
  }
})

function put(key: string, content: string) {
  return store.putObject('data', key, Readable.from(content === '' ? [] : [content]))
}

async function text(key: string): Promise<string> {
  return (await buffer((await store.getObject('data', key)).stream)).toString()
}

async function get(key: string, range: { first: number; last?: number } | { suffix: number }) {
  const { stream, range: told } = await store.getObject('data', key, { range })
  return [(await buffer(stream)).toString(), told]
}
