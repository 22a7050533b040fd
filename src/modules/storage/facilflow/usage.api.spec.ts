import * as S3 from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type S3InUse, s3InUse } from '../../s3/s3-in-use.fake.js'

let s3: S3InUse
let client: S3.S3Client
let admin: string

beforeAll(async () => {
  s3 = await s3InUse({ BUCKET_QUOTA_BYTES: '1000', BUCKET_QUOTA_OBJECTS: '3' })
  client = s3.client()
  admin = await s3.api.asAdmin()
  await client.send(new S3.CreateBucketCommand({ Bucket: 'full' }))
})

afterAll(async () => {
  client.destroy()
  await s3.api.close()
})

it('says what is kept, and refuses what is too much on both ways', async () => {
  expect(await usage()).toEqual({ bytes: 0, objects: 0, quotaBytes: 1_000, quotaObjects: 3 })
  await upload('a', 600).expect(201)
  expect(await usage()).toMatchObject({ bytes: 600, objects: 1 })
  const { body } = await upload('b', 500).expect(507)
  expect(body).toMatchObject({
    type: '/problems/storage-quota-exceeded',
    error: 'INSUFFICIENT_STORAGE',
    detail: 'There is no room for 500 bytes: of 1000 bytes 600 are taken',
  })
  // The key behind the file.
  const behind = s3.api
    .post('/api/buckets/full/objects')
    .set('Authorization', admin)
    .attach('file', Buffer.alloc(500), 'file')
    .field('key', 'b')
  await behind.expect(507)
  const refused = client.send(new S3.PutObjectCommand({ Bucket: 'full', Key: 'b', Body: Buffer.alloc(500) }))
  await expect(refused).rejects.toMatchObject({
    name: 'QuotaExceeded',
    message: 'There is no room for 500 bytes: of 1000 bytes 600 are taken',
    $metadata: { httpStatusCode: 403 },
  })
  const { UploadId } = await client.send(new S3.CreateMultipartUploadCommand({ Bucket: 'full', Key: 'c' }))
  const part = { Bucket: 'full', Key: 'c', UploadId, PartNumber: 1 }
  await client.send(new S3.UploadPartCommand({ ...part, Body: Buffer.alloc(400) }))
  expect(await usage()).toMatchObject({ bytes: 1_000, objects: 3 })
  const many = client.send(new S3.PutObjectCommand({ Bucket: 'full', Key: 'd', Body: '' }))
  await expect(many).rejects.toMatchObject({
    name: 'QuotaExceeded',
    message: 'There is no room for another object: of 3 objects and parts of uploads 3 are there',
  })
  await client.send(new S3.AbortMultipartUploadCommand({ Bucket: 'full', Key: 'c', UploadId }))
  await client.send(new S3.DeleteObjectCommand({ Bucket: 'full', Key: 'a' }))
  await upload('b', 1_000).expect(201)
  const { text } = await s3.api.get('/metrics').set('Authorization', admin).expect(200)
  expect(text).toMatch(/^millrace_bucket_bytes 1000$/m)
  expect(text).toMatch(/^millrace_bucket_objects 1$/m)
  expect(text).toMatch(/^millrace_bucket_fullest_ratio 1$/m)
})

async function usage(): Promise<unknown> {
  return (await s3.api.get('/api/storage/usage').set('Authorization', admin).expect(200)).body
}

function upload(key: string, size: number) {
  return s3.api
    .post('/api/buckets/full/objects')
    .set('Authorization', admin)
    .field('key', key)
    .attach('file', Buffer.alloc(size), 'file')
}
