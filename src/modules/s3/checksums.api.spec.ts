import { createHash } from 'node:crypto'
import * as S3 from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type S3InUse, s3InUse } from './s3-in-use.fake.js'

const Bucket = 'checksums'

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

it.each(['CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const)('%s of an object is kept and told', async (algorithm) => {
  const Key = algorithm
  const put = await client.send(new S3.PutObjectCommand({ Bucket, Key, Body: 'x', ChecksumAlgorithm: algorithm }))
  const member = `Checksum${algorithm}` as const
  expect(put[member]).toBeTruthy()
  const head = await client.send(new S3.HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
  expect([head[member], head.ChecksumType]).toEqual([put[member], 'FULL_OBJECT'])
  const got = await client.send(new S3.GetObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
  expect(got[member]).toBe(put[member])
  expect(await got.Body?.transformToString()).toBe('x')
  const asked = { Bucket, Key, ObjectAttributes: ['Checksum', 'ObjectSize', 'ETag'] as S3.ObjectAttributes[] }
  const { Checksum, ObjectSize, ETag, StorageClass } = await client.send(new S3.GetObjectAttributesCommand(asked))
  expect(Checksum).toEqual({ [member]: put[member], ChecksumType: 'FULL_OBJECT' })
  expect([ObjectSize, ETag, StorageClass]).toEqual([1, put.ETag?.replaceAll('"', ''), undefined])
})

it('is told only to who wants it, and of the whole only', async () => {
  await client.send(new S3.PutObjectCommand({ Bucket, Key: 'quiet', Body: 'quiet', ChecksumAlgorithm: 'SHA256' }))
  const quiet = s3.client(s3, { responseChecksumValidation: 'WHEN_REQUIRED' })
  expect((await quiet.send(new S3.HeadObjectCommand({ Bucket, Key: 'quiet' }))).ChecksumSHA256).toBeUndefined()
  const part = new S3.GetObjectCommand({ Bucket, Key: 'quiet', ChecksumMode: 'ENABLED', Range: 'bytes=0-1' })
  expect((await client.send(part)).ChecksumSHA256).toBeUndefined()
  quiet.destroy()
})

it('goes along with a copy, and ends with what replaces the object', async () => {
  const put = new S3.PutObjectCommand({ Bucket, Key: 'from', Body: 'copied', ChecksumAlgorithm: 'SHA256' })
  const { ChecksumSHA256 } = await client.send(put)
  await client.send(new S3.CopyObjectCommand({ Bucket, Key: 'to', CopySource: `${Bucket}/from` }))
  const head = () => client.send(new S3.HeadObjectCommand({ Bucket, Key: 'to', ChecksumMode: 'ENABLED' }))
  expect((await head()).ChecksumSHA256).toBe(ChecksumSHA256)
  const form = s3.api.post(`/api/buckets/${Bucket}/objects`).set('Authorization', await s3.api.asAdmin())
  await form.field('key', 'to').attach('file', Buffer.from('other'), 'file').expect(201)
  expect((await head()).ChecksumSHA256).toBeUndefined()
  const attributes = new S3.GetObjectAttributesCommand({ Bucket, Key: 'to', ObjectAttributes: ['Checksum'] })
  expect((await client.send(attributes)).Checksum).toBeUndefined()
})

it('of an upload in parts is one of its parts’ checksums', async () => {
  const object = { Bucket, Key: 'parts' }
  const begun = await client.send(new S3.CreateMultipartUploadCommand({ ...object, ChecksumAlgorithm: 'SHA256' }))
  expect([begun.ChecksumAlgorithm, begun.ChecksumType]).toEqual(['SHA256', 'COMPOSITE'])
  const { UploadId } = begun
  const bodies = [Buffer.alloc(5 * 1024 * 1024, 'a'), Buffer.from('b')]
  const Parts: S3.CompletedPart[] = []
  for (const [index, Body] of bodies.entries()) {
    const PartNumber = index + 1
    const part = { ...object, UploadId, PartNumber, Body, ChecksumAlgorithm: 'SHA256' as const }
    const { ETag, ChecksumSHA256 } = await client.send(new S3.UploadPartCommand(part))
    Parts.push({ PartNumber, ETag, ChecksumSHA256 })
  }
  const whole = createHash('sha256')
  for (const body of bodies) whole.update(createHash('sha256').update(body).digest())
  const expected = `${whole.digest('base64')}-2`
  const completed = await client.send(
    new S3.CompleteMultipartUploadCommand({ ...object, UploadId, MultipartUpload: { Parts } }),
  )
  expect([completed.ChecksumSHA256, completed.ChecksumType]).toEqual([expected, 'COMPOSITE'])
  const head = await client.send(new S3.HeadObjectCommand({ ...object, ChecksumMode: 'ENABLED' }))
  expect([head.ChecksumSHA256, head.ChecksumType]).toEqual([expected, 'COMPOSITE'])
  const got = await client.send(new S3.GetObjectCommand({ ...object, ChecksumMode: 'ENABLED' }))
  expect((await got.Body?.transformToByteArray())?.length).toBe(5 * 1024 * 1024 + 1)
  const attributes = {
    ...object,
    ObjectAttributes: ['Checksum', 'ObjectParts', 'StorageClass'] as S3.ObjectAttributes[],
  }
  const { ObjectParts, StorageClass } = await client.send(new S3.GetObjectAttributesCommand(attributes))
  expect([ObjectParts?.TotalPartsCount, StorageClass]).toEqual([2, 'STANDARD'])
})

it('of the whole is checked of each part of an upload that wants it, and not kept', async () => {
  const object = { Bucket, Key: 'whole' }
  const { UploadId, ChecksumType } = await client.send(
    new S3.CreateMultipartUploadCommand({ ...object, ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' }),
  )
  expect(ChecksumType).toBeUndefined()
  const { ETag } = await client.send(new S3.UploadPartCommand({ ...object, UploadId, PartNumber: 1, Body: 'x' }))
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] }
  await client.send(new S3.CompleteMultipartUploadCommand({ ...object, UploadId, MultipartUpload }))
  const head = await client.send(new S3.HeadObjectCommand({ ...object, ChecksumMode: 'ENABLED' }))
  expect(head.ChecksumCRC32).toBeUndefined()
  const unknown = client.send(
    new S3.GetObjectAttributesCommand({ ...object, ObjectAttributes: ['Color' as S3.ObjectAttributes] }),
  )
  await expect(unknown).rejects.toMatchObject({ name: 'InvalidArgument' })
})
