import { GuardedOutbound } from '../../../platform/outbound/guarded-outbound.js'
import { s3InUse } from '../../s3/s3-in-use.fake.js'
import { storageDriverContract } from '../storage-driver.fake.js'
import { S3Driver } from './s3-driver.js'

/** The embedded store by its own S3 protocol, below a path as gateways have it: conditional writes included, which Swift has none of. */
storageDriverContract('S3Driver against /s3', async () => {
  const s3 = await s3InUse({ RATE_LIMIT: '0' })
  const outbound = new GuardedOutbound({ allow: '127.0.0.1' })
  const driverFor = (secretKey: string) =>
    new S3Driver(
      { type: 'minio', endpoint: new URL(s3.endpoint), credentials: { accessKey: s3.accessKey, secretKey } },
      outbound,
    )
  const driver = driverFor(s3.secretKey)
  const stranger = driverFor('not-the-secret-key')
  return {
    driver,
    withWrongCredentials: { driver: stranger, secrets: ['not-the-secret-key', s3.accessKey] },
    async close() {
      await driver.close()
      await stranger.close()
      await outbound.close()
      await s3.api.close()
    },
  }
})
