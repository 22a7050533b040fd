import { once } from 'node:events'
import { request } from 'node:http'
import * as S3 from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { FlowRunnerUser } from '../../../test/support/flowrunner-user.js'
import { S3Callers } from './s3-callers.js'
import { accessKey, type S3InUse, s3InUse } from './s3-in-use.fake.js'
import { ask } from './s3-wire.fake.js'

const MIB = 1024 * 1024
const Bucket = 'transfers'

let s3: S3InUse
let client: S3.S3Client
let admin: FlowRunnerUser

beforeAll(async () => {
  s3 = await s3InUse()
  client = s3.client()
  admin = await FlowRunnerUser.login(s3.api)
  await client.send(new S3.CreateBucketCommand({ Bucket }))
}, 120_000)

afterAll(async () => {
  client.destroy()
  await s3.api.close()
})

async function put(Key: string, Body: string | Buffer = Key, more: Partial<S3.PutObjectCommandInput> = {}) {
  return await client.send(new S3.PutObjectCommand({ Bucket, Key, Body, ...more }))
}

async function text(Key: string, more: Partial<S3.GetObjectCommandInput> = {}): Promise<string | undefined> {
  const { Body } = await client.send(new S3.GetObjectCommand({ Bucket, Key, ...more }))
  return await Body?.transformToString()
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'nothing',
    (error: Error) => error.name,
  )
}

describe('a list', () => {
  const names = ['a/1', 'a/2', 'a/b/3', 'b', 'c d/4', 'c+d', 'é/5', '\u{1F600}']

  beforeAll(async () => {
    await client.send(new S3.CreateBucketCommand({ Bucket: 'lists' }))
    for (const Key of names) await client.send(new S3.PutObjectCommand({ Bucket: 'lists', Key, Body: 'x' }))
  })

  async function listed(more: Partial<S3.ListObjectsV2CommandInput>) {
    const page = await client.send(new S3.ListObjectsV2Command({ Bucket: 'lists', ...more }))
    const shown = [
      ...(page.Contents ?? []).map(({ Key }) => Key),
      ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix),
    ]
    return { ...page, shown }
  }

  it('is in the order of bytes, of what begins so, behind what was said, folded at the delimiter', async () => {
    expect((await listed({})).shown).toEqual(names)
    expect((await listed({ Prefix: 'a/' })).shown).toEqual(['a/1', 'a/2', 'a/b/3'])
    expect((await listed({ Delimiter: '/' })).shown).toEqual(['b', 'c+d', '\u{1F600}', 'a/', 'c d/', 'é/'])
    expect((await listed({ Prefix: 'a/', Delimiter: '/' })).shown).toEqual(['a/1', 'a/2', 'a/b/'])
    expect((await listed({ StartAfter: 'a/b' })).shown).toEqual(names.slice(2))
    expect((await listed({ Delimiter: '/', StartAfter: 'a/' })).shown).not.toContain('a/')
    expect(await listed({ MaxKeys: 0 })).toMatchObject({ shown: [], IsTruncated: false, KeyCount: 0 })
    expect((await listed({ EncodingType: 'url', Delimiter: '/' })).shown).toEqual([
      'b',
      'c%2Bd',
      '%F0%9F%98%80',
      'a/',
      'c%20d/',
      '%C3%A9/',
    ])
    expect((await listed({ FetchOwner: true })).Contents?.[0]).toMatchObject({
      ETag: expect.stringMatching(/^"[0-9a-f]{32}"$/),
      Size: 1,
      StorageClass: 'STANDARD',
      Owner: { ID: 'default' },
    })
  })

  it('comes in pages, by tokens and, the older way, by names', async () => {
    const all: (string | undefined)[] = []
    let token: string | undefined
    do {
      const page = await listed({ Delimiter: '/', MaxKeys: 2, ContinuationToken: token })
      expect(page.shown.length).toBe(page.KeyCount)
      all.push(...page.shown)
      token = page.NextContinuationToken
    } while (token !== undefined)
    expect([...all].sort()).toEqual(['a/', 'b', 'c d/', 'c+d', 'é/', '\u{1F600}'].sort())
    const older: (string | undefined)[] = []
    let Marker: string | undefined
    do {
      const page = await client.send(new S3.ListObjectsCommand({ Bucket: 'lists', Delimiter: '/', MaxKeys: 1, Marker }))
      older.push(
        ...(page.Contents ?? []).map(({ Key }) => Key),
        ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix),
      )
      Marker = page.NextMarker
    } while (Marker !== undefined)
    expect(older).toEqual(['a/', 'b', 'c d/', 'c+d', 'é/', '\u{1F600}'])
    expect(await codeOf(listed({ MaxKeys: -1 }))).toBe('InvalidArgument')
    expect(await codeOf(listed({ ContinuationToken: 'nonsense' }))).toBe('InvalidArgument')
    expect(await codeOf(listed({ EncodingType: 'nonsense' as 'url' }))).toBe('InvalidArgument')
  })
})

describe('a copy', () => {
  it('has the content, and the headers of its source or its own', async () => {
    await put('source é+%', 'content', { ContentType: 'text/plain', Metadata: { a: '1' } })
    const CopySource = `/${Bucket}/${encodeURIComponent('source é+%')}`
    const { CopyObjectResult } = await client.send(new S3.CopyObjectCommand({ Bucket, Key: 'copy', CopySource }))
    expect(CopyObjectResult?.ETag).toMatch(/^"[0-9a-f]{32}"$/)
    const head = async (Key: string) => await client.send(new S3.HeadObjectCommand({ Bucket, Key }))
    expect(await head('copy')).toMatchObject({ ContentType: 'text/plain', Metadata: { a: '1' }, ContentLength: 7 })
    const own = { MetadataDirective: 'REPLACE', ContentType: 'text/html', Metadata: { b: '2' } } as const
    await client.send(new S3.CopyObjectCommand({ Bucket, Key: 'copy', CopySource, ...own }))
    expect(await head('copy')).toMatchObject({ ContentType: 'text/html', Metadata: { b: '2' } })
    const onto = { Bucket, Key: 'copy', CopySource: `${Bucket}/copy` }
    expect(await codeOf(client.send(new S3.CopyObjectCommand(onto)))).toBe('InvalidRequest')
    await client.send(new S3.CopyObjectCommand({ ...onto, ...own, Metadata: { c: '3' } }))
    expect(await head('copy')).toMatchObject({ Metadata: { c: '3' } })
    expect(await text('copy')).toBe('content')
  })

  it('is made on conditions, of what is there', async () => {
    const { ETag } = await put('original')
    const copy = (more: Partial<S3.CopyObjectCommandInput>) =>
      client.send(new S3.CopyObjectCommand({ Bucket, Key: 'conditional', CopySource: `${Bucket}/original`, ...more }))
    expect(await codeOf(copy({ CopySourceIfMatch: '"x"' }))).toBe('PreconditionFailed')
    expect(await codeOf(copy({ CopySourceIfNoneMatch: ETag }))).toBe('PreconditionFailed')
    expect(await codeOf(copy({ CopySourceIfUnmodifiedSince: new Date(0) }))).toBe('PreconditionFailed')
    expect(await codeOf(copy({ CopySourceIfModifiedSince: new Date() }))).toBe('PreconditionFailed')
    expect(await codeOf(copy({ CopySource: `${Bucket}/nothing` }))).toBe('NoSuchKey')
    expect(await codeOf(copy({ CopySource: 'nowhere/nothing' }))).toBe('NoSuchBucket')
    expect(await codeOf(copy({ CopySource: 'nothing' }))).toBe('InvalidArgument')
    expect(await codeOf(text('conditional'))).toBe('NoSuchKey')
    await copy({ CopySourceIfMatch: ETag })
    expect(await text('conditional')).toBe('original')
  })
})

describe('many at once', () => {
  it('are deleted, those that were not there too, and each is noted', async () => {
    const there = ['<one>', 'two & three', 'a\rb', ' ', 'plain']
    for (const key of there) await put(key, 'x')
    const Objects = [...there, 'never there', 'x'.repeat(1025)].map((Key) => ({ Key }))
    const { Deleted, Errors } = await client.send(new S3.DeleteObjectsCommand({ Bucket, Delete: { Objects } }))
    expect(Deleted?.map(({ Key }) => Key)).toEqual([...there, 'never there'])
    expect(Errors).toMatchObject([{ Code: 'KeyTooLongError' }])
    for (const key of there) expect(await codeOf(text(key))).toBe('NoSuchKey')
    const { body } = await admin.get('/api/audit/logs?action=object.delete&limit=100').expect(200)
    const noted = body.logs.map(({ resourceId }: { resourceId: string }) => resourceId)
    for (const key of there) expect(noted).toContain(`${Bucket}/${key}`)
    const quiet = await client.send(
      new S3.DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'x' }], Quiet: true } }),
    )
    expect([quiet.Deleted, quiet.Errors]).toEqual([undefined, undefined])
  })

  it('are refused in XML that is none, or that brings entities along', async () => {
    const send = (body: string) => ask({ ...s3 }, { method: 'POST', path: `/${Bucket}?delete=`, body })
    for (const body of [
      '',
      'nonsense',
      '<Delete><Object><Key>a</Key></Object>',
      '<Other/>',
      '<Delete></Delete>',
      '<!DOCTYPE d [<!ENTITY a "b">]><Delete><Object><Key>&a;</Key></Object></Delete>',
      '<Delete><Object><Key>&unknown;</Key></Object></Delete>',
      '<Delete><Object><Key>&#xD800;</Key></Object></Delete>',
      '<Delete><Object><Key><deep/></Key></Object></Delete>',
      `<Delete>${'<Object><Key>a</Key></Object>'.repeat(1001)}</Delete>`,
    ])
      expect(await send(body), body.slice(0, 60)).toMatchObject({ status: 400, code: 'MalformedXML' })
    expect(await send(`<Delete>${' '.repeat(9 * MIB)}</Delete>`)).toMatchObject({ code: 'MaxMessageLengthExceeded' })
  })
})

describe('an upload in parts', () => {
  it('is one object at its end, of whatever it was made', async () => {
    const body = Buffer.alloc(11 * MIB + 3, 'parts ')
    const upload = new Upload({
      client,
      params: { Bucket, Key: 'big', Body: body, ContentType: 'x/y' },
      partSize: 5 * MIB,
    })
    const { ETag } = await upload.done()
    expect(ETag).toMatch(/^"[0-9a-f]{32}-3"$/)
    const { Body, ContentLength, ContentType } = await client.send(new S3.GetObjectCommand({ Bucket, Key: 'big' }))
    expect(Buffer.from((await Body?.transformToByteArray()) ?? []).equals(body)).toBe(true)
    expect([ContentLength, ContentType]).toEqual([body.length, 'x/y'])
    const second = await client.send(new S3.HeadObjectCommand({ Bucket, Key: 'big', PartNumber: 3 }))
    expect(second).toMatchObject({ ContentLength: MIB + 3, PartsCount: 3 })
  })

  it('is listed while it lasts, takes copies as parts, and may be completed twice', async () => {
    await put('source', Buffer.alloc(5 * MIB, 'a'))
    const at = { Bucket, Key: 'pieces é' }
    const { UploadId } = await client.send(new S3.CreateMultipartUploadCommand({ ...at, Metadata: { m: '1' } }))
    const CopySource = `${Bucket}/source`
    const first = await client.send(new S3.UploadPartCopyCommand({ ...at, UploadId, PartNumber: 1, CopySource }))
    const slice = { PartNumber: 2, CopySource, CopySourceRange: 'bytes=0-9' }
    const second = await client.send(new S3.UploadPartCopyCommand({ ...at, UploadId, ...slice }))
    expect(
      await codeOf(
        client.send(new S3.UploadPartCopyCommand({ ...at, UploadId, ...slice, CopySourceRange: 'bytes=0-99999999' })),
      ),
    ).toBe('InvalidArgument')
    const third = await client.send(new S3.UploadPartCommand({ ...at, UploadId, PartNumber: 7, Body: 'unused' }))
    const parts = await client.send(new S3.ListPartsCommand({ ...at, UploadId, MaxParts: 2 }))
    expect(parts).toMatchObject({ IsTruncated: true, NextPartNumberMarker: '2' })
    expect(parts.Parts).toMatchObject([
      { PartNumber: 1, Size: 5 * MIB, ETag: first.CopyPartResult?.ETag },
      { PartNumber: 2, Size: 10 },
    ])
    const rest = await client.send(new S3.ListPartsCommand({ ...at, UploadId, PartNumberMarker: '2' }))
    expect(rest.Parts).toMatchObject([{ PartNumber: 7, ETag: third.ETag }])
    const { Uploads } = await client.send(new S3.ListMultipartUploadsCommand({ Bucket, Prefix: 'pieces' }))
    expect(Uploads).toMatchObject([{ Key: at.Key, UploadId }])
    const complete = (Parts: S3.CompletedPart[]) =>
      client.send(new S3.CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload: { Parts } }))
    const [one, two] = [
      { PartNumber: 1, ETag: first.CopyPartResult?.ETag },
      { PartNumber: 2, ETag: second.CopyPartResult?.ETag },
    ]
    expect(await codeOf(complete([two, one]))).toBe('InvalidPartOrder')
    expect(await codeOf(complete([{ ...one, ETag: '"x"' }]))).toBe('InvalidPart')
    expect(await codeOf(complete([two, { PartNumber: 7, ETag: third.ETag }]))).toBe('EntityTooSmall')
    const done = await complete([one, two])
    expect((await complete([one, two])).ETag).toBe(done.ETag)
    expect(await codeOf(complete([one]))).toBe('NoSuchUpload')
    expect(await text(at.Key, { Range: 'bytes=5242870-' })).toBe('a'.repeat(20))
    expect((await client.send(new S3.HeadObjectCommand(at))).Metadata).toEqual({ m: '1' })
  })

  it('leaves nothing where it is aborted', async () => {
    const at = { Bucket, Key: 'aborted' }
    const { UploadId } = await client.send(new S3.CreateMultipartUploadCommand(at))
    await client.send(new S3.UploadPartCommand({ ...at, UploadId, PartNumber: 1, Body: 'x' }))
    await client.send(new S3.AbortMultipartUploadCommand({ ...at, UploadId }))
    expect(await codeOf(client.send(new S3.UploadPartCommand({ ...at, UploadId, PartNumber: 2, Body: 'x' })))).toBe(
      'NoSuchUpload',
    )
    expect(await codeOf(client.send(new S3.ListPartsCommand({ ...at, UploadId })))).toBe('NoSuchUpload')
    expect(
      await codeOf(client.send(new S3.UploadPartCommand({ ...at, UploadId, PartNumber: 10_001, Body: 'x' }))),
    ).toBe('InvalidArgument')
    expect(await codeOf(text('aborted'))).toBe('NoSuchKey')
  })
})

describe('a URL', () => {
  it('that a client has signed gives and takes an object', async () => {
    const given = await getSignedUrl(client, new S3.PutObjectCommand({ Bucket, Key: 'by url', Metadata: { a: '1' } }))
    expect((await fetch(given, { method: 'PUT', body: 'sent' })).status).toBe(200)
    const url = await getSignedUrl(client, new S3.GetObjectCommand({ Bucket, Key: 'by url' }), { expiresIn: 604_800 })
    const answer = await fetch(url)
    expect(await answer.text()).toBe('sent')
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-disposition': 'attachment',
      'content-security-policy': expect.stringContaining('sandbox'),
      'x-content-type-options': 'nosniff',
      'x-amz-meta-a': '1',
    })
    const shown = new S3.GetObjectCommand({ Bucket, Key: 'by url', ResponseContentDisposition: 'inline' })
    expect((await fetch(await getSignedUrl(client, shown))).headers.get('content-disposition')).toBe('inline')
    expect((await fetch(url.replace('by%20url', 'other'))).status).toBe(403)
    expect((await fetch(`${url}&response-content-disposition=inline`)).status).toBe(403)
    expect((await fetch(url, { method: 'DELETE' })).status).toBe(403)
  })

  it('puts nothing whose signer counts no more when its last byte comes', async () => {
    const { id, ...keys } = await accessKey(s3.api, await s3.api.asAdmin())
    const theirs = s3.client(keys)
    const url = await getSignedUrl(theirs, new S3.PutObjectCommand({ Bucket, Key: 'late' }), { expiresIn: 60 })
    theirs.destroy()
    const known = vi.spyOn(s3.api.app.get(S3Callers), 'known')
    const sent = request(url, { method: 'PUT', headers: { 'content-length': 10 } })
    const answered = once(sent, 'response')
    sent.write('first')
    await vi.waitFor(() => expect(known).toHaveResolved())
    known.mockRestore()
    await admin.delete(`/api/api-keys/${id}`).expect(204)
    sent.end('later')
    const [answer] = await answered
    answer.resume()
    expect(answer.statusCode).toBe(403)
    expect(await codeOf(text('late'))).toBe('NoSuchKey')
  })

  it('that this server has signed is followed by whoever has it, as long as its caller counts', async () => {
    const keys = ['plain', 'a b/é+%2F&=?#', '../up/./x', '..', '//']
    const { accountId, token } = await admin.colleague('linker@example.com')
    const made = async (key: string, authorization: string) => {
      const { body } = await s3.api
        .get(`/api/buckets/${Bucket}/objects/${encodeURIComponent(key)}/url?expiry=60`)
        .set('Authorization', authorization)
        .expect(200)
      return body.url as string
    }
    for (const key of keys) {
      await put(key, `content of ${key}`)
      const answer = await fetch(await made(key, `Bearer ${token}`))
      expect([answer.status, await answer.text()], key).toEqual([200, `content of ${key}`])
    }
    const { body: apiKey } = await s3.api
      .post('/api/api-keys')
      .set('Authorization', `Bearer ${token}`)
      .send({ name: 'Links' })
      .expect(201)
    const [byKey, byAccount] = [await made('plain', `Bearer ${apiKey.key}`), await made('plain', `Bearer ${token}`)]
    expect((await fetch(byKey)).status).toBe(200)
    expect((await fetch(byKey, { method: 'PUT', body: 'x' })).status).toBe(403)
    expect((await fetch(byKey.replace(/=60&/, '=61&'))).status).toBe(403)
    // Its access key opens nothing but what the server has signed.
    const accessKey = new URL(byKey).searchParams.get('X-Amz-Credential')?.split('/')[0] ?? ''
    expect(await ask({ ...s3, accessKey, secretKey: 'x' }, { path: '/' })).toMatchObject({ code: 'InvalidAccessKeyId' })
    await s3.api.delete(`/api/api-keys/${apiKey.id}`).set('Authorization', `Bearer ${token}`).expect(204)
    expect((await fetch(byKey)).status).toBe(403)
    expect((await fetch(byAccount)).status).toBe(200)
    await admin.delete(`/api/v1/accounts/${accountId}`).expect(200)
    expect((await fetch(byAccount)).status).toBe(403)
  })
})
