import { describe } from 'vitest'
import { startAzurite } from '../../../../test/support/peers/azurite.js'
import { closedPort } from '../../../../test/support/peers/silent.js'
import { GuardedOutbound } from '../../../platform/outbound/guarded-outbound.js'
import { storageDriverContract } from '../storage-driver.fake.js'
import { AzureBlobDriver } from './azure-blob-driver.js'

const azurite = await startAzurite()

/** Azurite, Microsoft's emulator, where the packages of `test/peers` can be installed. It sorts by UTF-16. */
describe.skipIf(!azurite)('against Azurite', () => {
  storageDriverContract(
    'AzureBlobDriver',
    async () => {
      if (!azurite) throw new Error('Azurite is not installed')
      const { accountName, accountKey } = azurite
      const outbound = new GuardedOutbound({ allow: '127.0.0.1' })
      const driverFor = (endpoint: string, key = accountKey) =>
        new AzureBlobDriver(
          { type: 'azure-blob', endpoint: new URL(endpoint), credentials: { accountName, accountKey: key } },
          outbound,
        )
      const wrongKey = Buffer.from('not the key of this account').toString('base64')
      const driver = driverFor(azurite.endpoint)
      const stranger = driverFor(azurite.endpoint, wrongKey)
      const unreachable = driverFor(`http://127.0.0.1:${await closedPort()}/${accountName}`)
      return {
        driver,
        withWrongCredentials: { driver: stranger, secrets: [wrongKey, 'SharedKey'] },
        unreachable,
        async close() {
          for (const one of [driver, stranger, unreachable]) await one.close()
          await outbound.close()
          await azurite.stop()
        },
      }
    },
    { refuses: (key) => /\.(\/|$)|[\\\n\t]/.test(key), byteOrder: false },
  )
})
