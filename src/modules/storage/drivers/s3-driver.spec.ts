import { describe } from 'vitest'
import { closedPort } from '../../../../test/support/peers/silent.js'
import { startSwift, swiftInstalled } from '../../../../test/support/peers/swift.js'
import { GuardedOutbound } from '../../../platform/outbound/guarded-outbound.js'
import { storageDriverContract } from '../storage-driver.fake.js'
import { S3Driver } from './s3-driver.js'

/**
 * OpenStack Swift's S3 API where Debian's packages are installed. It takes no condition on a put (501), so that is held
 * against a fake, and tells one date for all buckets.
 */
describe.skipIf(!swiftInstalled)('against OpenStack Swift', () => {
  storageDriverContract(
    'S3Driver',
    async () => {
      const swift = await startSwift()
      const outbound = new GuardedOutbound({ allow: '127.0.0.1' })
      const driverFor = (port: number, secretKey = swift.secretKey) =>
        new S3Driver(
          {
            type: 'minio',
            endpoint: new URL(`http://127.0.0.1:${port}`),
            credentials: { accessKey: swift.accessKey, secretKey },
          },
          outbound,
        )
      const driver = driverFor(swift.port)
      const stranger = driverFor(swift.port, 'not-the-secret-key')
      const unreachable = driverFor(await closedPort())
      return {
        driver,
        withWrongCredentials: { driver: stranger, secrets: ['not-the-secret-key', swift.accessKey] },
        unreachable,
        async close() {
          for (const one of [driver, stranger, unreachable]) await one.close()
          await outbound.close()
          await swift.stop()
        },
      }
    },
    { onlyNew: false, creationTimes: false },
  )
})
