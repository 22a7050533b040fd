import { createHash } from 'node:crypto'
import { request } from 'node:http'
import * as S3 from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { FlowRunnerUser } from '../../../test/support/flowrunner-user.js'
import { RateCounter } from '../../platform/rates/rate-counter.js'
import type { AccessKeyPair } from '../auth/access-keys.js'
import { artifactsBucket } from '../storage/bucket-access.js'
import { EmbeddedStores } from '../storage/embedded/embedded-stores.js'
import { accessKey, type S3InUse, s3InUse } from './s3-in-use.fake.js'
import { ask, type RawRequest } from './s3-wire.fake.js'

const MIB = 1024 * 1024
const Bucket = 'data-lake'

let s3: S3InUse
let client: S3.S3Client
let admin: FlowRunnerUser
let user: FlowRunnerUser
let users: AccessKeyPair & { id: string }

beforeAll(async () => {
  s3 = await s3InUse()
  client = s3.client()
  admin = await FlowRunnerUser.login(s3.api)
  user = await admin.colleague('user@example.com')
  users = await accessKey(s3.api, user.authorization)
  await client.send(new S3.CreateBucketCommand({ Bucket }))
}, 120_000)

afterAll(async () => {
  client.destroy()
  await s3.api.close()
})

function raw(request: RawRequest, pair: AccessKeyPair = s3) {
  return ask({ ...pair, endpoint: s3.endpoint }, request)
}

function put(Key: string, Body: string | Buffer = Key, more: Partial<S3.PutObjectCommandInput> = {}) {
  return client.send(new S3.PutObjectCommand({ Bucket, Key, Body, ...more }))
}

async function read(Key: string, more: Partial<S3.GetObjectCommandInput> = {}) {
  const answer = await client.send(new S3.GetObjectCommand({ Bucket, Key, ...more }))
  return { ...answer, text: await answer.Body?.transformToString() }
}

/** What the SDK makes of a refusal. */
async function refused(work: Promise<unknown>): Promise<[name: string, status: number | undefined]> {
  try {
    await work
    return ['nothing', undefined]
  } catch (error) {
    const { name, $metadata } = error as S3.S3ServiceException
    return [name, $metadata?.httpStatusCode]
  }
}

async function sql(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const { DataSource } = await import('typeorm')
  return await s3.api.app.get(DataSource).query(text, values)
}

describe('who may enter', () => {
  it('is told in XML, with the id of the request, whatever is asked', async () => {
    const answer = await raw({ path: '/', unsigned: true })
    expect(answer).toMatchObject({ status: 403, code: 'AccessDenied' })
    expect(answer.headers).toMatchObject({ 'content-type': 'application/xml', 'x-content-type-options': 'nosniff' })
    expect(answer.text).toContain(`<RequestId>${answer.headers['x-amz-request-id']}</RequestId>`)
    expect(await raw({ path: '/%zz/%ff', unsigned: true })).toMatchObject({ status: 400, code: 'InvalidURI' })
    expect(
      await raw({ path: '/a', unsigned: true, headers: { cookie: 'session=x', accept: 'text/html' } }),
    ).toMatchObject({
      code: 'AccessDenied',
    })
    const bearer = await raw({ path: '/', unsigned: true, headers: { authorization: admin.authorization } })
    expect(bearer).toMatchObject({ status: 400, code: 'InvalidRequest' })
    expect(await raw({ path: '/', method: 'OPTIONS', unsigned: true })).toMatchObject({ code: 'AccessDenied' })
    expect((await raw({ path: '/nowhere/x', method: 'HEAD', unsigned: true })).text).toBe('')
  })

  it('has a key that counts, and signs by it', async () => {
    const unknown = { accessKey: 'MRAAAAAAAAAAAAAAAAAA', secretKey: s3.secretKey }
    expect(await raw({ path: '/' }, unknown)).toMatchObject({ status: 403, code: 'InvalidAccessKeyId' })
    const wrong = { accessKey: s3.accessKey, secretKey: 'x' }
    expect(await raw({ path: '/' }, wrong)).toMatchObject({ status: 403, code: 'SignatureDoesNotMatch' })
    const early = new Date(Date.now() - 16 * 60_000)
    expect(await raw({ path: '/', at: early })).toMatchObject({ status: 403, code: 'RequestTimeTooSkewed' })
    expect(await raw({ path: '/' })).toMatchObject({ status: 200 })
  })

  it('only reads with the role viewer, from the moment on that it is given', async () => {
    const own = s3.client(users)
    await own.send(new S3.PutObjectCommand({ Bucket, Key: 'theirs', Body: 'x' }))
    await sql(`update account set role = 'viewer' where id = $1`, [user.accountId])
    const write = new S3.PutObjectCommand({ Bucket, Key: 'theirs', Body: 'y' })
    expect(await refused(own.send(write))).toEqual(['AccessDenied', 403])
    expect(await refused(own.send(new S3.CreateBucketCommand({ Bucket: 'new-bucket' })))).toEqual(['AccessDenied', 403])
    expect(await refused(own.send(new S3.DeleteObjectCommand({ Bucket, Key: 'theirs' })))).toEqual([
      'AccessDenied',
      403,
    ])
    expect((await read('theirs')).text).toBe('x')
    expect((await own.send(new S3.ListBucketsCommand({}))).Buckets?.map(({ Name }) => Name)).toEqual([Bucket])
    await sql(`update account set role = 'user' where id = $1`, [user.accountId])
    const noted = await sql(
      `select outcome, resource_id from audit_entry where action = 'bucket.create' and actor_id = $1`,
      [user.accountId],
    )
    expect(noted).toEqual([{ outcome: 'failure', resource_id: 'new-bucket' }])
  })

  it('is nobody once the key is revoked or the account deleted', async () => {
    const other = await admin.colleague('leaver@example.com')
    const [first, second] = [await accessKey(s3.api, other.authorization), await accessKey(s3.api, other.authorization)]
    expect((await raw({ path: '/' }, first)).status).toBe(200)
    await other.delete(`/api/api-keys/${first.id}`).expect(204)
    expect(await raw({ path: '/' }, first)).toMatchObject({ status: 403, code: 'InvalidAccessKeyId' })
    expect((await raw({ path: '/' }, second)).status).toBe(200)
    await admin.delete(`/api/v1/accounts/${other.accountId}`).expect(200)
    expect(await raw({ path: '/' }, second)).toMatchObject({ status: 403, code: 'InvalidAccessKeyId' })
  })

  it('sees the artifacts of its own runs, which nobody changes, and no others', async () => {
    const bucket = artifactsBucket(user.accountId)
    const store = s3.api.app.get(EmbeddedStores, { strict: false }).of('default')
    await store.createBucket(bucket)
    const { Readable } = await import('node:stream')
    await store.putObject(bucket, 'run/report.txt', Readable.from([Buffer.from('fine')]))
    const own = s3.client(users)
    const get = new S3.GetObjectCommand({ Bucket: bucket, Key: 'run/report.txt' })
    expect(await (await own.send(get)).Body?.transformToString()).toBe('fine')
    const write = new S3.PutObjectCommand({ Bucket: bucket, Key: 'x', Body: 'x' })
    expect(await refused(own.send(write))).toEqual(['AccessDenied', 403])
    expect(await refused(own.send(new S3.DeleteBucketCommand({ Bucket: bucket })))).toEqual(['AccessDenied', 403])
    expect(await refused(client.send(get))).toEqual(['NoSuchBucket', 404])
    const CopySource = `${bucket}/run/report.txt`
    expect(await refused(client.send(new S3.CopyObjectCommand({ Bucket, Key: 'stolen', CopySource })))).toEqual([
      'NoSuchBucket',
      404,
    ])
    const names = async (by: S3.S3Client) =>
      (await by.send(new S3.ListBucketsCommand({}))).Buckets?.map(({ Name }) => Name)
    expect(await names(own)).toEqual([bucket, Bucket])
    expect(await names(client)).toEqual([Bucket])
  })
})

describe("what is not the caller's", () => {
  it('does not exist: buckets of other tenants', async () => {
    const stranger = await admin.colleague('stranger@example.com')
    const pair = await accessKey(s3.api, stranger.authorization)
    await sql(`insert into tenant (id, name) values ('elsewhere', 'Elsewhere') on conflict do nothing`)
    await sql(`update account set tenant_id = 'elsewhere' where id = $1`, [stranger.accountId])
    const own = s3.client(pair)
    expect((await own.send(new S3.ListBucketsCommand({}))).Buckets ?? []).toEqual([])
    expect(await refused(own.send(new S3.ListObjectsV2Command({ Bucket })))).toEqual(['NoSuchBucket', 404])
    expect(await refused(own.send(new S3.PutObjectCommand({ Bucket, Key: 'x', Body: 'x' })))).toEqual([
      'NoSuchBucket',
      404,
    ])
    // Names are each tenant's own.
    await own.send(new S3.CreateBucketCommand({ Bucket }))
    await own.send(new S3.DeleteBucketCommand({ Bucket }))
    await client.send(new S3.HeadBucketCommand({ Bucket }))
  })
})

describe('too many requests', () => {
  it('are told to slow down, and counted against the account', async () => {
    const counter = s3.api.app.get(RateCounter, { strict: false })
    const allowance = { limit: 1, remaining: -1, resetAt: new Date(), retryAfter: 7 }
    const hit = vi.spyOn(counter, 'hit').mockResolvedValue(allowance)
    try {
      const answer = await raw({ path: '/' })
      expect(answer).toMatchObject({ status: 503, code: 'SlowDown' })
      expect(answer.headers['retry-after']).toBe('7')
      expect(hit.mock.calls.flat()).toEqual([admin.accountId])
      expect(await raw({ path: '/', unsigned: true })).toMatchObject({ status: 503, code: 'SlowDown' })
      expect(hit.mock.calls.flat().at(-1)).toMatch(/^address /)
    } finally {
      hit.mockRestore()
    }
  })
})

describe('a bucket', () => {
  it('is made once, found, and deleted when it is empty', async () => {
    await client.send(
      new S3.CreateBucketCommand({
        Bucket: 'short-lived',
        CreateBucketConfiguration: { LocationConstraint: 'eu-central-1' },
      }),
    )
    expect(await refused(client.send(new S3.CreateBucketCommand({ Bucket: 'short-lived' })))).toEqual([
      'BucketAlreadyOwnedByYou',
      409,
    ])
    await client.send(new S3.HeadBucketCommand({ Bucket: 'short-lived' }))
    await client.send(new S3.PutObjectCommand({ Bucket: 'short-lived', Key: 'x', Body: 'x' }))
    expect(await refused(client.send(new S3.DeleteBucketCommand({ Bucket: 'short-lived' })))).toEqual([
      'BucketNotEmpty',
      409,
    ])
    await client.send(new S3.DeleteObjectCommand({ Bucket: 'short-lived', Key: 'x' }))
    await client.send(new S3.DeleteBucketCommand({ Bucket: 'short-lived' }))
    expect(await refused(client.send(new S3.HeadBucketCommand({ Bucket: 'short-lived' })))).toEqual(['NotFound', 404])
    expect(await refused(client.send(new S3.ListObjectsV2Command({ Bucket: 'short-lived' })))).toEqual([
      'NoSuchBucket',
      404,
    ])
    for (const path of ['/No_Bucket', '/ab', '/..', '/a..b', '//x', '/192.168.0.1'])
      expect(await raw({ method: 'PUT', path: path.replace(/\/x$/, '') }), path).toMatchObject({
        status: expect.any(Number),
        code: expect.stringMatching(/InvalidBucketName|NotImplemented|MethodNotAllowed/),
      })
  })

  it('answers of its settings what one answers that has none', async () => {
    expect((await client.send(new S3.GetBucketLocationCommand({ Bucket }))).LocationConstraint).toBeUndefined()
    expect((await client.send(new S3.GetBucketVersioningCommand({ Bucket }))).Status).toBeUndefined()
    expect((await client.send(new S3.GetBucketAclCommand({ Bucket }))).Grants).toMatchObject([
      { Permission: 'FULL_CONTROL' },
    ])
    for (const [name, code] of [
      ['policy', 'NoSuchBucketPolicy'],
      ['cors', 'NoSuchCORSConfiguration'],
      ['lifecycle', 'NoSuchLifecycleConfiguration'],
      ['tagging', 'NoSuchTagSet'],
    ])
      expect(await raw({ path: `/${Bucket}?${name}=` })).toMatchObject({ status: 404, code })
  })

  it('refuses what is not done here, and never takes it for something else', async () => {
    for (const [method, path] of [
      ['GET', `/${Bucket}?versions=`],
      ['PUT', `/${Bucket}?versioning=`],
      ['PUT', `/${Bucket}?acl=`],
      ['DELETE', `/${Bucket}?policy=`],
      ['POST', `/${Bucket}`],
      ['PUT', `/${Bucket}?tagging=`],
      ['DELETE', `/${Bucket}?tagging=`],
      ['POST', `/${Bucket}/k?restore=`],
      ['GET', `/${Bucket}/k?torrent=`],
    ] as const)
      expect(await raw({ method, path }), `${method} ${path}`).toMatchObject({ status: 501, code: 'NotImplemented' })
    expect(await raw({ method: 'DELETE', path: '/' })).toMatchObject({ status: 405, code: 'MethodNotAllowed' })
    for (const name of [
      'x-amz-server-side-encryption-customer-algorithm',
      'x-amz-grant-read',
      'x-amz-object-lock-mode',
    ])
      expect(await raw({ method: 'PUT', path: `/${Bucket}/k`, body: 'x', headers: { [name]: 'x' } })).toMatchObject({
        status: 501,
      })
    expect(await raw({ method: 'PUT', path: `/${Bucket}/k`, headers: { 'x-amz-acl': 'public-read' } })).toMatchObject({
      status: 501,
    })
    expect(await refused(read('k'))).toEqual(['NoSuchKey', 404])
  })
})

describe('an object', () => {
  it('keeps its content, its headers and its metadata, and is noted', async () => {
    const headers = {
      ContentType: 'text/html; charset=utf-8',
      CacheControl: 'max-age=60',
      ContentDisposition: 'inline; filename="a.html"',
      ContentEncoding: 'identity',
      ContentLanguage: 'de',
    }
    const { ETag } = await put('page', '<p>', { ...headers, Metadata: { one: 'two  three', empty: '' } })
    expect(ETag).toBe(`"${createHash('md5').update('<p>').digest('hex')}"`)
    expect(await read('page')).toMatchObject({
      text: '<p>',
      ETag,
      ...headers,
      ContentLength: 3,
      Metadata: { one: 'two  three', empty: '' },
    })
    expect(await client.send(new S3.HeadObjectCommand({ Bucket, Key: 'page' }))).toMatchObject({ ETag, ...headers })
    await put('page', 'new')
    const { CacheControl, ContentType } = await read('page')
    expect({ CacheControl, ContentType }).toEqual({ ContentType: 'application/octet-stream' })
    await client.send(new S3.DeleteObjectCommand({ Bucket, Key: 'page' }))
    await client.send(new S3.DeleteObjectCommand({ Bucket, Key: 'page' }))
    expect(await refused(read('page'))).toEqual(['NoSuchKey', 404])
    const noted = await sql(
      `select action, before is null as made, actor_id from audit_entry where resource_id = $1 order by at`,
      [`${Bucket}/page`],
    )
    expect(noted.map(({ action, made }) => [action, made])).toEqual([
      ['object.put', true],
      ['object.put', false],
      ['object.delete', false],
    ])
    expect(noted.every(({ actor_id }) => actor_id === admin.accountId)).toBe(true)
  })

  it('is given in parts', async () => {
    await put('digits', '0123456789')
    const part = async (Range: string) => {
      const { text, ContentRange, $metadata } = await read('digits', { Range })
      return [text, ContentRange, $metadata.httpStatusCode]
    }
    expect(await part('bytes=2-4')).toEqual(['234', 'bytes 2-4/10', 206])
    expect(await part('bytes=8-')).toEqual(['89', 'bytes 8-9/10', 206])
    expect(await part('bytes=-3')).toEqual(['789', 'bytes 7-9/10', 206])
    expect(await part('bytes=5-100')).toEqual(['56789', 'bytes 5-9/10', 206])
    expect(await part('bytes=4-2')).toEqual(['0123456789', undefined, 200])
    expect(await part('bytes=0-1,3-4')).toEqual(['0123456789', undefined, 200])
    expect(await refused(part('bytes=10-'))).toEqual(['InvalidRange', 416])
    const { status, headers } = await raw({
      path: `/${Bucket}/digits`,
      method: 'HEAD',
      headers: { range: 'bytes=1-2' },
    })
    expect([status, headers['content-length'], headers['content-range']]).toEqual([206, '2', 'bytes 1-2/10'])
  })

  it('is read and written on conditions', async () => {
    const { ETag = '' } = await put('guarded', 'one')
    const later = new Date(Date.now() + 60_000)
    const before = new Date(Date.now() - 60_000)
    expect(await refused(read('guarded', { IfNoneMatch: ETag }))).toEqual(['Unknown', 304])
    expect(await refused(read('guarded', { IfModifiedSince: new Date() }))).toEqual(['Unknown', 304])
    expect(await refused(read('guarded', { IfMatch: '"x"' }))).toEqual(['PreconditionFailed', 412])
    expect(await refused(read('guarded', { IfUnmodifiedSince: before }))).toEqual(['PreconditionFailed', 412])
    expect((await read('guarded', { IfMatch: ETag, IfUnmodifiedSince: before })).text).toBe('one')
    expect((await read('guarded', { IfNoneMatch: '"x"', IfModifiedSince: later })).text).toBe('one')
    expect(await refused(put('guarded', 'two', { IfNoneMatch: '*' }))).toEqual(['PreconditionFailed', 412])
    expect(await refused(put('guarded', 'two', { IfMatch: '"x"' }))).toEqual(['PreconditionFailed', 412])
    expect(await refused(put('nothing', 'two', { IfMatch: ETag }))).toEqual(['NoSuchKey', 404])
    await put('guarded', 'two', { IfMatch: ETag })
    await put('fresh', 'x', { IfNoneMatch: '*' })
    expect((await read('guarded')).text).toBe('two')
  })

  it('is told as the request wants it', async () => {
    await put('told', 'x')
    const { ContentType, ContentDisposition, CacheControl, Expires } = await read('told', {
      ResponseContentType: 'text/csv',
      ResponseContentDisposition: 'attachment; filename="ä.csv"',
      ResponseCacheControl: 'no-cache',
    })
    expect({ ContentType, CacheControl, Expires }).toEqual({
      ContentType: 'text/csv',
      CacheControl: 'no-cache',
      Expires: undefined,
    })
    expect(Buffer.from(ContentDisposition ?? '', 'latin1').toString()).toBe('attachment; filename="ä.csv"')
    expect(await raw({ path: `/${Bucket}/told?response-content-type=a%0d%0ab` })).toMatchObject({
      status: 400,
      code: 'InvalidArgument',
    })
  })

  it('leaves nothing where what came is not what was said', async () => {
    const path = `/${Bucket}/broken`
    const md5 = (text: string) => createHash('md5').update(text).digest('base64')
    const cases: [RawRequest, string][] = [
      [{ path, payloadHash: createHash('sha256').update('b').digest('hex') }, 'XAmzContentSHA256Mismatch'],
      [{ path, headers: { 'content-md5': md5('b') } }, 'BadDigest'],
      [{ path, headers: { 'content-md5': 'b' } }, 'InvalidDigest'],
      [{ path, headers: { 'x-amz-checksum-crc32': 'AAAAAA==' } }, 'BadDigest'],
      [{ path, headers: { 'x-amz-checksum-crc32c': 'AAAAAA==' } }, 'BadDigest'],
      [{ path, headers: { 'x-amz-checksum-crc64nvme': 'AAAAAAAAAAA=' } }, 'BadDigest'],
      [{ path, headers: { 'x-amz-checksum-sha1': 'AAAA' } }, 'BadDigest'],
      [{ path, headers: { 'x-amz-checksum-sha256': '!' } }, 'InvalidRequest'],
      [{ path, payloadHash: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' }, 'MissingContentLength'],
      [{ path, payloadHash: 'nonsense' }, 'InvalidArgument'],
      [{ path, headers: { 'x-amz-meta-a': 'x'.repeat(2048) } }, 'MetadataTooLarge'],
      [{ path: `/${Bucket}/${'k'.repeat(1025)}` }, 'KeyTooLongError'],
      [{ path: `/${Bucket}/a%00b` }, 'InvalidURI'],
    ]
    for (const [request, code] of cases) {
      const answer = await raw({ method: 'PUT', body: 'a', ...request })
      expect(
        [answer.code === 'InvalidArgument' && code === 'InvalidURI' ? code : answer.code, answer.status],
        code,
      ).toEqual([code, code === 'MissingContentLength' ? 411 : 400])
    }
    expect(await refused(read('broken'))).toEqual(['NoSuchKey', 404])
    expect(await sql(`select from bucket_object where key like 'broken%' or key like 'kkk%'`)).toEqual([])
  })

  it('leaves nothing where its sender hangs up', async () => {
    const url = new URL(await getSignedUrl(client, new S3.PutObjectCommand({ Bucket, Key: 'cut' })))
    const sending = request(url, { method: 'PUT', headers: { 'content-length': 10 * 1024 * 1024 } })
    sending.on('error', () => {})
    await new Promise<void>((resolve) => sending.write(Buffer.alloc(1024 * 1024), () => resolve()))
    sending.destroy()
    await put('whole')
    expect(await refused(read('cut'))).toEqual(['NoSuchKey', 404])
    expect(await sql(`select from bucket_object where key = 'cut'`)).toEqual([])
    const store = s3.api.app.get(EmbeddedStores, { strict: false }).of('default')
    expect((await store.listObjects(Bucket, { prefix: 'cut', limit: 10 })).objects).toEqual([])
  })

  it('cannot have metadata that headers could not hold', async () => {
    const named = (name: string, value: string) =>
      raw({
        method: 'PUT',
        path: `/${Bucket}/named?x-amz-meta-${encodeURIComponent(name)}=${encodeURIComponent(value)}`,
      })
    expect(await named('a', 'b\r\nset-cookie: x')).toMatchObject({ status: 400, code: 'InvalidArgument' })
    expect(await named('a b', 'c')).toMatchObject({ status: 400, code: 'InvalidArgument' })
    expect(await named('note', 'é \u{1F600}')).toMatchObject({ status: 200 })
    const { headers } = await raw({ method: 'HEAD', path: `/${Bucket}/named` })
    expect(Buffer.from(String(headers['x-amz-meta-note']), 'latin1').toString()).toBe('é \u{1F600}')
  })

  it.each(['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const)(
    'comes with the checksum %s, before it or behind it',
    async (ChecksumAlgorithm) => {
      const { Readable } = await import('node:stream')
      await put('checked', 'checked', { ChecksumAlgorithm })
      expect((await read('checked')).text).toBe('checked')
      const body = Buffer.alloc(3 * MIB, 'abc')
      const parts = Readable.from([body.subarray(0, MIB), body.subarray(MIB)])
      await client.send(
        new S3.PutObjectCommand({
          Bucket,
          Key: 'streamed',
          Body: parts,
          ContentLength: body.length,
          ChecksumAlgorithm,
        }),
      )
      expect(
        Buffer.from(
          (await (
            await client.send(new S3.GetObjectCommand({ Bucket, Key: 'streamed' }))
          ).Body?.transformToByteArray()) ?? [],
        ).equals(body),
      ).toBe(true)
    },
  )
})
