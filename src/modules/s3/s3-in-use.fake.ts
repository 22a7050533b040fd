import type { AddressInfo } from 'node:net'
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { type ApiUnderTest, apiUnderTest } from '../../../test/support/api.js'
import type { AccessKeyPair } from '../auth/access-keys.js'

/** The whole application, with an access key of its first admin. */
export interface S3InUse extends AccessKeyPair {
  api: ApiUnderTest
  endpoint: string
  client(keys?: AccessKeyPair, config?: Partial<S3ClientConfig>): S3Client
}

export async function s3InUse(set: Record<string, string> = {}): Promise<S3InUse> {
  const api = await apiUnderTest(set)
  const endpoint = `http://127.0.0.1:${(api.app.getHttpServer().address() as AddressInfo).port}/s3`
  const own = await accessKey(api, await api.asAdmin())
  const client = ({ accessKey, secretKey }: AccessKeyPair = own, config: Partial<S3ClientConfig> = {}) =>
    new S3Client({
      endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      maxAttempts: 1,
      credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
      ...config,
    })
  return { ...own, api, endpoint, client }
}

export async function accessKey(api: ApiUnderTest, authorization: string): Promise<AccessKeyPair & { id: string }> {
  const { body } = await api
    .post('/api/api-keys')
    .set('Authorization', authorization)
    .send({ name: 'Backup', scopes: ['s3'] })
    .expect(201)
  return { id: body.id, accessKey: body.accessKey, secretKey: body.secretKey }
}
