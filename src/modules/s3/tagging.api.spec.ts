import * as S3 from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type S3InUse, s3InUse } from './s3-in-use.fake.js'

const Bucket = 'tagging'

let s3: S3InUse
let client: S3.S3Client

beforeAll(async () => {
  s3 = await s3InUse()
  client = s3.client()
  await client.send(new S3.CreateBucketCommand({ Bucket }))
})

afterAll(async () => {
  client.destroy()
  await s3.api.close()
})

async function tags(Key: string) {
  return (await client.send(new S3.GetObjectTaggingCommand({ Bucket, Key }))).TagSet
}

async function code(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'nothing',
    (error: Error) => error.name,
  )
}

it('tags are put with an object, told, replaced, removed, and in the audit trail', async () => {
  const Key = 'a'
  await client.send(new S3.PutObjectCommand({ Bucket, Key, Body: 'x', Tagging: 'a=1&b%20c=%C3%A9+%26' }))
  expect(await tags(Key)).toEqual([
    { Key: 'a', Value: '1' },
    { Key: 'b c', Value: 'é &' },
  ])
  expect((await client.send(new S3.HeadObjectCommand({ Bucket, Key }))).TagCount).toBe(2)
  const TagSet = [{ Key: '__proto__', Value: '<&>' }]
  await client.send(new S3.PutObjectTaggingCommand({ Bucket, Key, Tagging: { TagSet } }))
  expect(await tags(Key)).toEqual(TagSet)
  await client.send(new S3.DeleteObjectTaggingCommand({ Bucket, Key }))
  expect(await tags(Key)).toEqual([])
  const { body } = await s3.api
    .get('/api/audit/logs?resourceType=object&limit=3')
    .set('Authorization', await s3.api.asAdmin())
    .expect(200)
  expect(body.logs.map(({ action }: { action: string }) => action)).toEqual(['object.tag', 'object.tag', 'object.put'])
  await client.send(new S3.PutObjectCommand({ Bucket, Key, Body: 'y' }))
  expect(await tags(Key)).toEqual([])
})

it('a copy has its source’s tags, or its own; an object of parts has those that it was begun with', async () => {
  await client.send(new S3.PutObjectCommand({ Bucket, Key: 'from', Body: 'x', Tagging: 'a=1' }))
  const copy = { Bucket, Key: 'to', CopySource: `${Bucket}/from` }
  await client.send(new S3.CopyObjectCommand(copy))
  expect(await tags('to')).toEqual([{ Key: 'a', Value: '1' }])
  await client.send(new S3.CopyObjectCommand({ ...copy, Tagging: 'b=2', TaggingDirective: 'REPLACE' }))
  expect(await tags('to')).toEqual([{ Key: 'b', Value: '2' }])
  const object = { Bucket, Key: 'parts' }
  const { UploadId } = await client.send(new S3.CreateMultipartUploadCommand({ ...object, Tagging: 'c=3' }))
  const { ETag } = await client.send(new S3.UploadPartCommand({ ...object, UploadId, PartNumber: 1, Body: 'x' }))
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] }
  await client.send(new S3.CompleteMultipartUploadCommand({ ...object, UploadId, MultipartUpload }))
  expect(await tags('parts')).toEqual([{ Key: 'c', Value: '3' }])
})

it('tags that are none are refused', async () => {
  const put = (TagSet: S3.Tag[]) =>
    code(client.send(new S3.PutObjectTaggingCommand({ Bucket, Key: 'from', Tagging: { TagSet } })))
  const many = Array.from({ length: 11 }, (_, index) => ({ Key: `${index}`, Value: '' }))
  expect(await put(many)).toBe('BadRequest')
  expect(await put([many[0] as S3.Tag, many[0] as S3.Tag])).toBe('InvalidTag')
  expect(await put([{ Key: '', Value: 'x' }])).toBe('InvalidTag')
  expect(await put([{ Key: 'x'.repeat(129), Value: 'x' }])).toBe('InvalidTag')
  expect(await put([{ Key: 'x', Value: 'x'.repeat(257) }])).toBe('InvalidTag')
  expect(await code(client.send(new S3.PutObjectCommand({ Bucket, Key: 'b', Body: 'x', Tagging: 'a=1&a=2' })))).toBe(
    'InvalidTag',
  )
  expect(
    await code(client.send(new S3.PutObjectTaggingCommand({ Bucket, Key: 'nowhere', Tagging: { TagSet: [] } }))),
  ).toBe('NoSuchKey')
  expect(await tags('from')).toEqual([{ Key: 'a', Value: '1' }])
})
