import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, apiUnderTest } from '../../../test/support/api.js'
import { FlowRunnerUser } from '../../../test/support/flowrunner-user.js'
import { startAzurite } from '../../../test/support/peers/azurite.js'
import { startSwift, swiftInstalled } from '../../../test/support/peers/swift.js'
import type { RunIdentity } from '../../engine/step.js'
import { artifactsBucket } from '../storage/bucket-access.js'
import { StorageProviders } from '../storage/storage-providers.js'
import { fileOf, MEBIBYTE, someRun } from './artifacts.fake.js'
import { RunArtifacts } from './run-artifacts.js'

/** Artifacts as other APIs see them, and in other stores than the embedded one. */

const azurite = await startAzurite()
const swift = swiftInstalled ? await startSwift() : undefined

let api: ApiUnderTest
let user: FlowRunnerUser
let run: RunIdentity

beforeAll(async () => {
  api = await apiUnderTest({ OUTBOUND_ALLOW: '127.0.0.1' })
  user = await FlowRunnerUser.login(api)
  run = someRun('default', user.accountId)
})

afterAll(async () => {
  await api.close()
  await azurite?.stop()
  await swift?.stop()
})

const keep = (path: string, content: string | Buffer, mediaType?: string) =>
  api.app.get(RunArtifacts).keep(run, fileOf(path, content, mediaType))

describe('the artifacts of an account', () => {
  it('are a bucket that it reads and nobody changes, and that is none to others', async () => {
    await keep('/workspace/out/a b.csv', 'one,two', 'text/csv')
    const bucket = artifactsBucket(user.accountId)
    const buckets = (await user.get('/api/buckets').expect(200)).body.buckets as { name: string }[]
    expect(buckets.map(({ name }) => name)).toContain(bucket)
    const { body } = await user.get(`/api/buckets/${bucket}/objects?prefix=${run.id}/out/`).expect(200)
    const key = `${run.id}/out/a b.csv`
    expect(body.objects).toMatchObject([{ name: key, size: 7, isFolder: false }])
    const content = await user.get(`/api/buckets/${bucket}/objects/${encodeURIComponent(key)}`).expect(200)
    expect([content.text, content.headers['content-type']]).toEqual(['one,two', 'text/csv'])
    await user.delete(`/api/buckets/${bucket}/objects/${encodeURIComponent(key)}`).expect(403)
    await user.delete(`/api/buckets/${bucket}?force=true`).expect(403)
    const colleague = await user.colleague('colleague@example.com')
    await colleague.get(`/api/buckets/${bucket}/objects`).expect(404)
    const theirs = (await colleague.get('/api/buckets').expect(200)).body.buckets as { name: string }[]
    expect(theirs.map(({ name }) => name)).not.toContain(bucket)
  })

  it('are the same bucket to S3 clients, and by signed URLs', async () => {
    await keep('/workspace/für S3.txt', 'three', 'text/plain')
    const [Bucket, Key] = [artifactsBucket(user.accountId), `${run.id}/für S3.txt`]
    const client = await s3Of(user)
    const own = await client.send(new GetObjectCommand({ Bucket, Key }))
    expect([await own.Body?.transformToString(), own.ContentType]).toEqual(['three', 'text/plain'])
    const { Contents } = await client.send(new ListObjectsV2Command({ Bucket, Prefix: `${run.id}/für` }))
    expect(Contents?.map((object) => object.Key)).toEqual([Key])
    await expect(client.send(new PutObjectCommand({ Bucket, Key, Body: 'four' }))).rejects.toMatchObject({
      name: 'AccessDenied',
    })
    await expect(client.send(new DeleteObjectCommand({ Bucket, Key }))).rejects.toMatchObject({ name: 'AccessDenied' })
    const stranger = await s3Of(await user.colleague('stranger@example.com'))
    await expect(stranger.send(new GetObjectCommand({ Bucket, Key }))).rejects.toMatchObject({ name: 'NoSuchBucket' })
    for (const opened of [client, stranger]) opened.destroy()

    const url = `/api/buckets/${Bucket}/objects/${encodeURIComponent(Key)}/url?expiry=60`
    const { body } = await user.get(url).expect(200)
    const answer = await fetch(body.url)
    expect([answer.status, await answer.text()]).toEqual([200, 'three'])
  })
})

async function s3Of(of: FlowRunnerUser): Promise<S3Client> {
  const { accessKey, secretKey } = (await of.post('/api/api-keys', { name: 'S3', scopes: ['s3'] }).expect(201)).body
  const { port } = api.app.getHttpServer().address() as AddressInfo
  return new S3Client({
    endpoint: `http://127.0.0.1:${port}/s3`,
    region: 'us-east-1',
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
  })
}

const { accountName = '', accountKey = '' } = azurite ?? {}
const { accessKey = '', secretKey = '' } = swift ?? {}

describe.each([
  {
    where: 'Azure Blob Storage',
    isThere: azurite !== undefined,
    provider: { type: 'azure-blob', endpoint: azurite?.endpoint, credentials: { accountName, accountKey } },
  },
  {
    where: 'OpenStack Swift',
    isThere: swift !== undefined,
    provider: { type: 's3', endpoint: `http://127.0.0.1:${swift?.port}`, credentials: { accessKey, secretKey } },
  },
])('artifacts in $where', ({ where, isThere, provider }) => {
  it.skipIf(!isThere)(
    'are kept, read, and removed there, and stay there when another store is the default',
    async () => {
      const made = await user.post('/api/storage/providers', { name: where, ...provider, isDefault: true }).expect(201)
      const { id: providerId } = made.body
      const content = randomBytes(9 * MEBIBYTE + 1)
      const path = `/workspace/${where}/größe 100%.bin`
      const id = await keep(path, content)
      expect(await keep(path, content)).toBe(id)
      await expect(keep(path, 'another')).rejects.toMatchObject({ code: 'artifact-exists' })
      await user.put('/api/storage/providers/default-minio', { isDefault: true }).expect(200)

      const download = user.get(`/api/v1/artifacts/${id}`)
      const whole = await download.buffer().parse(binary).expect(200)
      expect((whole.body as Buffer).equals(content)).toBe(true)
      const part = await user
        .get(`/api/v1/artifacts/${id}`)
        .set('Range', 'bytes=5000000-5000002')
        .parse(binary)
        .expect(206)
      expect((part.body as Buffer).equals(content.subarray(5_000_000, 5_000_003))).toBe(true)

      await user.delete(`/api/storage/providers/${providerId}`).expect(409)
      await user.delete(`/api/v1/artifacts/${id}`).expect(204)
      const { driver } = await api.app.get(StorageProviders, { strict: false }).open('default', providerId)
      const { objects } = await driver.listObjects(artifactsBucket(user.accountId), { limit: 10 })
      expect(objects).toEqual([])
      await user.delete(`/api/storage/providers/${providerId}`).expect(204)
    },
  )
})

it('of a store that is not there is told, by the step and by the download', async () => {
  if (!azurite) return
  const provider = { type: 'azure-blob', endpoint: azurite.endpoint, credentials: { accountName, accountKey } }
  await user.post('/api/storage/providers', { name: 'Gone soon', ...provider, isDefault: true }).expect(201)
  const id = await keep('/workspace/kept', 'x')
  await azurite.stop()
  const { body } = await user.get(`/api/v1/artifacts/${id}`).expect(502)
  expect(body).toMatchObject({ type: '/problems/storage-provider-failed', status: 502 })
  expect(JSON.stringify(body)).not.toContain(accountKey)
  await expect(keep('/workspace/lost', 'x')).rejects.toMatchObject({
    name: 'StepError',
    code: 'storage-provider-failed',
  })
  // It is gone for its account, and for good once the store is back.
  await user.delete(`/api/v1/artifacts/${id}`).expect(204)
})

type Parser = Parameters<ReturnType<FlowRunnerUser['get']>['parse']>[0]

const binary = ((response: NodeJS.ReadableStream, done: (error: Error | null, body: Buffer) => void) => {
  buffer(response as never).then((body) => done(null, body), done as never)
}) as unknown as Parser
