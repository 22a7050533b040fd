import { createHash, randomBytes } from 'node:crypto'
import { PassThrough, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { DomainError } from '../../platform/errors/domain-error.js'
import {
  BucketExists,
  BucketNotEmpty,
  BucketNotFound,
  ObjectExists,
  ObjectKeyInvalid,
  ObjectNotFound,
  ProviderFailed,
  RangeNotSatisfiable,
  SizeMismatch,
} from './storage.errors.js'
import type { ObjectInfo, ObjectQuery, StorageDriver } from './storage-driver.js'

/** A service to hold a driver against, and what it is known not to do. */
export interface DriverUnderTest {
  driver: StorageDriver
  /** The same service with credentials that it does not know, and what of them must never be told. */
  withWrongCredentials?: { driver: StorageDriver; secrets: string[] }
  /** A driver for an address where nobody is. */
  unreachable?: StorageDriver
  close(): Promise<void>
}

export interface Limits {
  /** Keys that the service cannot hold: they are refused, and nothing else is stored in their place. */
  refuses?: (key: string) => boolean
  /** Keys that the service would hold, and the stand-in for it cannot. */
  beyond?: (key: string) => boolean
  /** False where the service takes no condition. */
  onlyNew?: boolean
  /** False where nothing stands behind its signed URLs. */
  presigned?: boolean
  /** False where folders are told beside the objects of a page, not among them. */
  foldersAmong?: boolean
  /** False where lists are not in the order of UTF-8 bytes. */
  byteOrder?: boolean
  /** False where buckets come and go by themselves. */
  buckets?: boolean
  /** False where nobody knows when a bucket was made. */
  creationTimes?: boolean
  /** False where anyone may do anything. */
  credentials?: boolean
}

/** Keys that are easily taken for something else. */
const HOSTILE_KEYS = [
  'plain.txt',
  'folder/',
  'folder/file.csv',
  'a//b',
  '/leading',
  '//twice',
  '..',
  '../up',
  'a/../b',
  './here',
  'a/./b',
  'a/..',
  'dot.',
  'space in it',
  ' around ',
  'plus+sign',
  'percent%20literal',
  '%2F',
  '%',
  '100%/x',
  'query?a=1&b=2',
  'hash#tag',
  'semi;colon:comma,at@equals=',
  `quotes'"`,
  '<xml>&amp;</xml>',
  'back\\slash',
  '{curly}[square]|pipe^caret`tick~',
  '*',
  '(round)!',
  'grüße/日本語.txt',
  '🚀',
  'caf\u00e9',
  'cafe\u0301',
  'new\nline',
  'tab\tbed',
  'x'.repeat(1_024),
]

/** What every storage driver owes, whatever is behind it. */
export function storageDriverContract(
  name: string,
  open: () => Promise<DriverUnderTest>,
  {
    refuses = () => false,
    beyond = () => false,
    onlyNew = true,
    presigned = true,
    byteOrder = true,
    foldersAmong = true,
    buckets = true,
    creationTimes = true,
    credentials = true,
  }: Limits = {},
): void {
  describe(name, () => {
    let under: DriverUnderTest
    let driver: StorageDriver
    let bucket: string

    beforeAll(async () => {
      under = await open()
      driver = under.driver
      bucket = newBucket()
      if (buckets) await driver.createBucket(bucket)
    }, 120_000)

    afterAll(async () => {
      if (buckets) await driver?.deleteBucket(bucket, { force: true })
      await under?.close()
    }, 120_000)

    const put = (key: string, content: string | Buffer, options = {}): Promise<ObjectInfo> =>
      driver.putObject(bucket, key, Readable.from([Buffer.from(content)]), options)
    const read = async (key: string, options = {}): Promise<string> =>
      (await buffer((await driver.getObject(bucket, key, options)).stream)).toString()

    async function all(query: Partial<ObjectQuery>): Promise<{ keys: string[]; folders: string[]; pages: number }> {
      const found = { keys: [] as string[], folders: [] as string[], pages: 0 }
      let continuation: string | undefined
      do {
        const page = await driver.listObjects(bucket, { limit: 1_000, ...query, continuation })
        expect(page.objects.length + (foldersAmong ? page.folders.length : 0)).toBeLessThanOrEqual(query.limit ?? 1_000)
        found.keys.push(...page.objects.map(({ key }) => key))
        found.folders.push(...page.folders.filter((folder) => foldersAmong || !found.folders.includes(folder)))
        found.pages++
        continuation = page.next
      } while (continuation !== undefined)
      return found
    }

    if (buckets) {
      it('makes, lists and deletes buckets', async () => {
        const [first, second] = [newBucket(), newBucket()].sort() as [string, string]
        await driver.createBucket(second)
        await driver.createBucket(first)
        const listed = (await driver.listBuckets()).filter(({ name }) => name === first || name === second)
        expect(listed.map(({ name }) => name)).toEqual([first, second])
        for (const { createdAt } of creationTimes ? listed : [])
          expect(createdAt.getTime()).toBeGreaterThan(Date.now() - 3_600_000)
        expect(await driver.hasBucket(first)).toBe(true)
        await expect(driver.createBucket(first)).rejects.toThrow(BucketExists)
        await driver.deleteBucket(first, { force: false })
        await driver.deleteBucket(second, { force: true })
        expect(await driver.hasBucket(first)).toBe(false)
        await expect(driver.deleteBucket(first, { force: false })).rejects.toThrow(BucketNotFound)
        await expect(driver.deleteBucket(first, { force: true })).rejects.toThrow(BucketNotFound)
      })

      it('deletes a bucket with something in it only by force', async () => {
        const full = newBucket()
        await driver.createBucket(full)
        for (const key of ['a', 'b/c', 'd d']) await driver.putObject(full, key, Readable.from([Buffer.from(key)]))
        await expect(driver.deleteBucket(full, { force: false })).rejects.toThrow(BucketNotEmpty)
        expect((await driver.listObjects(full, { limit: 10 })).objects).toHaveLength(3)
        await driver.deleteBucket(full, { force: true })
        expect(await driver.hasBucket(full)).toBe(false)
      })

      it.each([
        'no-such-bucket-here',
        '..',
        'a/b',
        '',
        'A?b',
        'arn:aws:s3:us-east-1:1:accesspoint/x',
        'x--usw2-az1--x-s3',
      ])("knows no bucket '%s'", async (missing) => {
        expect(await driver.hasBucket(missing)).toBe(false)
        await expect(driver.listObjects(missing, { limit: 1 })).rejects.toThrow(BucketNotFound)
        await expect(driver.headObject(missing, 'key')).rejects.toThrow(BucketNotFound)
        await expect(driver.getObject(missing, 'key')).rejects.toThrow(BucketNotFound)
        await expect(driver.deleteObject(missing, 'key')).rejects.toThrow(BucketNotFound)
        const content = Readable.from([Buffer.from('x')])
        await expect(driver.putObject(missing, 'key', content)).rejects.toThrow(BucketNotFound)
      })
    }

    it('keeps content, type and metadata', async () => {
      const metadata = { origin: 'pi-server-1', note: 'grüße' }
      const made = await put('kept.csv', 'a,b\n1,2\n', { contentType: 'text/csv; charset=utf-8', metadata })
      expect(made).toMatchObject({ key: 'kept.csv', size: 8, etag: expect.stringMatching(/^[^"]+$/) })
      const { info, stream } = await driver.getObject(bucket, 'kept.csv')
      expect((await buffer(stream)).toString()).toBe('a,b\n1,2\n')
      const head = await driver.headObject(bucket, 'kept.csv')
      for (const found of [info, head])
        expect(found).toMatchObject({
          key: 'kept.csv',
          size: 8,
          etag: made.etag,
          contentType: 'text/csv; charset=utf-8',
          metadata,
        })
      expect(Math.abs(head.lastModified.getTime() - Date.now())).toBeLessThan(3_600_000)
      const [listed] = (await driver.listObjects(bucket, { prefix: 'kept.csv', limit: 1 })).objects
      expect(listed).toMatchObject({ key: 'kept.csv', size: 8, etag: made.etag })
    })

    it('takes the place of what was there, and the type that nobody names', async () => {
      const first = await put('again', 'first')
      expect((await driver.headObject(bucket, 'again')).contentType).toBe('application/octet-stream')
      const second = await put('again', 'the second')
      expect(second.etag).not.toBe(first.etag)
      expect(await read('again')).toBe('the second')
    })

    it('keeps what is empty', async () => {
      expect(await put('empty', '', { size: 0 })).toMatchObject({ size: 0 })
      expect(await read('empty')).toBe('')
      expect(await driver.headObject(bucket, 'empty')).toMatchObject({ size: 0 })
    })

    it('gives ranges', async () => {
      await put('digits', '0123456789')
      expect(await read('digits', { range: { first: 2, last: 5 } })).toBe('2345')
      expect(await read('digits', { range: { first: 7 } })).toBe('789')
      expect(await read('digits', { range: { first: 0, last: 0 } })).toBe('0')
      expect(await read('digits', { range: { first: 8, last: 99 } })).toBe('89')
      const { info, stream } = await driver.getObject(bucket, 'digits', { range: { first: 2, last: 5 } })
      stream.destroy()
      expect(info.size).toBe(10)
      const beyond = await driver.getObject(bucket, 'digits', { range: { first: 10 } }).catch((thrown) => thrown)
      expect(beyond).toBeInstanceOf(RangeNotSatisfiable)
      expect(beyond.size).toBe(10)
    })

    it('has no object that nobody put there', async () => {
      await expect(driver.headObject(bucket, 'none')).rejects.toThrow(ObjectNotFound)
      await expect(driver.getObject(bucket, 'none')).rejects.toThrow(ObjectNotFound)
      await expect(driver.getObject(bucket, 'none', { range: { first: 5 } })).rejects.toThrow(ObjectNotFound)
      await driver.deleteObject(bucket, 'none')
    })

    it('keeps hostile keys apart, each as it is written', async () => {
      const kept = HOSTILE_KEYS.filter((key) => !refuses(key) && !beyond(key))
      for (const key of HOSTILE_KEYS.filter(refuses)) {
        await expect(put(`hostile/${key}`, 'x'), key).rejects.toThrow(ObjectKeyInvalid)
        await expect(driver.getObject(bucket, `hostile/${key}`), key).rejects.toThrow(DomainError)
      }
      const keyOf = (key: string) => `h/${key}`.slice(0, 1_024)
      for (const key of kept) await put(keyOf(key), `content of ${key}`)
      for (const key of kept) {
        expect(await read(keyOf(key)), key).toBe(`content of ${key}`)
        expect((await driver.headObject(bucket, keyOf(key))).size, key).toBe(Buffer.byteLength(`content of ${key}`))
      }
      const found = await all({ prefix: 'h/' })
      expect([...found.keys].sort()).toEqual(kept.map(keyOf).sort())
      for (const limit of [1, 7]) expect((await all({ prefix: 'h/', limit })).keys).toEqual(found.keys)
      const byFolder = await all({ prefix: 'h/', delimiter: '/', limit: 3 })
      const behind = (key: string) => keyOf(key).slice(2)
      const folders = kept.map(behind).flatMap((key) => (key.includes('/') ? [`h/${key.split('/')[0]}/`] : []))
      expect([...byFolder.folders].sort()).toEqual([...new Set(folders)].sort())
      expect([...byFolder.keys].sort()).toEqual(
        kept
          .filter((key) => !behind(key).includes('/'))
          .map(keyOf)
          .sort(),
      )
      for (const key of kept) await driver.deleteObject(bucket, keyOf(key))
      expect(await all({ prefix: 'h/' })).toMatchObject({ keys: [], folders: [] })
    }, 120_000)

    it('lists in pages, by key', async () => {
      const keys = ['l/B', 'l/a', 'l/a/1', 'l/a/2', 'l/b', 'l/z/1', 'l/é', 'l/\u{1f680}', 'l/\uff01']
      for (const key of keys) await put(key, key)
      const sorted = [...keys].sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
      for (const limit of [1, 2, 4, 1_000]) {
        const { keys: listed, pages } = await all({ prefix: 'l/', limit })
        if (byteOrder) expect(listed).toEqual(sorted)
        else expect([...listed].sort()).toEqual([...keys].sort())
        expect(pages).toBeLessThanOrEqual(Math.ceil(keys.length / limit) + 1)
      }
      const page = await all({ prefix: 'l/', delimiter: '/' })
      expect(page.folders).toEqual(['l/a/', 'l/z/'])
      expect(await all({ prefix: 'l/a/', limit: 1 })).toMatchObject({ keys: ['l/a/1', 'l/a/2'] })
      expect(await all({ prefix: 'nothing/' })).toMatchObject({ keys: [], folders: [], pages: 1 })
    })

    it('takes a large content of unknown length, and gives it back byte by byte', async () => {
      const block = randomBytes(1024 * 1024)
      const blocks = 19
      const sent = createHash('sha256')
      async function* content(): AsyncGenerator<Buffer> {
        for (let number = 0; number < blocks; number++) {
          const chunk = Buffer.concat([Buffer.from([number]), block])
          sent.update(chunk)
          yield chunk
        }
      }
      const made = await driver.putObject(bucket, 'large', Readable.from(content()))
      expect(made.size).toBe(blocks * (block.length + 1))
      const { info, stream } = await driver.getObject(bucket, 'large')
      const received = createHash('sha256')
      await pipeline(stream, received)
      expect(received.digest('hex')).toBe(sent.digest('hex'))
      expect(info).toMatchObject({ size: made.size, etag: made.etag })
      const middle = { first: 10 * (block.length + 1), last: 10 * (block.length + 1) + 3 }
      const { stream: part } = await driver.getObject(bucket, 'large', { range: middle })
      expect(await buffer(part)).toEqual(Buffer.concat([Buffer.from([10]), block.subarray(0, 3)]))
      await driver.deleteObject(bucket, 'large')
    }, 120_000)

    it('lets go of a content that nobody reads to its end', async () => {
      await put('left', Buffer.alloc(4 * 1024 * 1024))
      const { stream } = await driver.getObject(bucket, 'left')
      stream.destroy()
      const calling = new AbortController()
      const called = await driver.getObject(bucket, 'left', { signal: calling.signal })
      const ended = buffer(called.stream)
      calling.abort(new Error('called off'))
      await expect(ended).rejects.toThrow('called off')
      expect((await driver.headObject(bucket, 'left')).size).toBe(4 * 1024 * 1024)
    })

    it.each([
      ['small', 1_000],
      ['large', 12 * 1024 * 1024],
    ])(
      'leaves nothing of a %s content that breaks off, is called off, or has another length',
      async (_, size) => {
        const fault = new Error('the source broke')
        async function* broken(): AsyncGenerator<Buffer> {
          for (let sent = 0; sent < size; sent += 1_000_000) yield Buffer.alloc(Math.min(1_000_000, size - sent))
          throw fault
        }
        const reason = await driver.putObject(bucket, 'broken', Readable.from(broken())).catch((thrown) => thrown)
        expect(reason).toBe(fault)
        for (const said of [size - 1, size + 1]) {
          const content = Readable.from([Buffer.alloc(size)])
          await expect(driver.putObject(bucket, 'broken', content, { size: said })).rejects.toThrow(SizeMismatch)
        }
        const calling = new AbortController()
        const endless = new PassThrough()
        const stopped = driver
          .putObject(bucket, 'broken', endless, { signal: calling.signal })
          .catch((thrown) => thrown)
        endless.write(Buffer.alloc(size))
        await vi.waitFor(() => expect(endless.readableLength).toBeLessThan(size))
        const called = new Error('called off')
        calling.abort(called)
        expect(await stopped).toBe(called)
        expect(endless.destroyed).toBe(true)
        await expect(driver.headObject(bucket, 'broken')).rejects.toThrow(ObjectNotFound)
      },
      120_000,
    )

    if (onlyNew)
      it('puts only what is new, where that is asked for', async () => {
        await put('new', 'first', { onlyNew: true })
        await expect(put('new', 'second', { onlyNew: true })).rejects.toThrow(ObjectExists)
        expect(await read('new')).toBe('first')
        const racing = await Promise.allSettled(
          ['a', 'b', 'c', 'd'].map((content) => put('raced', content, { onlyNew: true })),
        )
        expect(racing.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
        for (const one of racing) if (one.status === 'rejected') expect(one.reason).toBeInstanceOf(ObjectExists)
      })

    if (presigned) {
      it('signs URLs that give and take an object', async () => {
        const key = 'signed/grüße & +100%.txt'
        await put(key, 'by url', { contentType: 'text/plain' })
        const url = await driver.presignGet(bucket, key, {
          expiresIn: 600,
          contentDisposition: 'attachment; filename="a.txt"',
          contentType: 'text/csv',
        })
        const got = await fetch(url)
        expect([got.status, await got.text()]).toEqual([200, 'by url'])
        expect(got.headers.get('content-disposition')).toBe('attachment; filename="a.txt"')
        expect(got.headers.get('content-type')).toContain('text/csv')
        const target = await driver.presignPut(bucket, 'signed/taken', { expiresIn: 600 })
        const headers = { 'content-type': 'text/x-taken', 'x-ms-blob-type': 'BlockBlob' }
        const taken = await fetch(target, { method: 'PUT', body: 'taken', headers })
        expect([200, 201]).toContain(taken.status)
        expect(await read('signed/taken')).toBe('taken')
        expect((await driver.headObject(bucket, 'signed/taken')).contentType).toBe('text/x-taken')
      })

      it('signs for one object and one purpose, until the URL expires', async () => {
        await put('signed/one', 'one')
        await put('signed/two', 'two')
        const url = await driver.presignGet(bucket, 'signed/one', { expiresIn: 600 })
        const other = await fetch(url.replace('signed/one', 'signed/two').replace('signed%2Fone', 'signed%2Ftwo'))
        expect([401, 403]).toContain(other.status)
        const changed = await fetch(url, { method: 'PUT', body: 'x', headers: { 'x-ms-blob-type': 'BlockBlob' } })
        expect([401, 403]).toContain(changed.status)
        expect(await read('signed/one')).toBe('one')
        const short = await driver.presignGet(bucket, 'signed/one', { expiresIn: 1 })
        await vi.waitFor(async () => expect([400, 401, 403]).toContain((await fetch(short)).status), {
          timeout: 15_000,
          interval: 250,
        })
      })
    }

    if (credentials)
      it('tells that credentials are wrong, and none of them', async ({ skip }) => {
        if (!under.withWrongCredentials) return skip()
        const { driver: stranger, secrets } = under.withWrongCredentials
        const attempts = [
          () => stranger.listBuckets(),
          () => stranger.listObjects(bucket, { limit: 1 }),
          () => stranger.headObject(bucket, 'again'),
          () => stranger.putObject(bucket, 'stranger', Readable.from([Buffer.from('x')])),
          () => stranger.deleteBucket(bucket, { force: false }),
        ]
        for (const attempt of attempts) {
          const error = await attempt().then(
            () => expect.unreachable('it let a stranger in'),
            (thrown) => thrown,
          )
          expect(error).toBeInstanceOf(ProviderFailed)
          for (const secret of secrets) expect(inspect(error, { depth: 20 })).not.toContain(secret)
        }
      })

    it('tells that nobody is there', async ({ skip }) => {
      if (!under.unreachable) return skip()
      const gone = under.unreachable
      await expect(gone.listBuckets()).rejects.toThrow(/refused/)
      await expect(gone.listBuckets()).rejects.toThrow(ProviderFailed)
      await expect(gone.getObject(bucket, 'again')).rejects.toThrow(ProviderFailed)
      await expect(gone.putObject(bucket, 'x', Readable.from([Buffer.from('x')]))).rejects.toThrow(ProviderFailed)
    })
  })
}

function newBucket(): string {
  return `contract-${randomBytes(8).toString('hex')}`
}
