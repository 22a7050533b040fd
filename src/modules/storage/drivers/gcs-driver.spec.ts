import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { startGcs } from '../../../../test/support/peers/gcs.js'
import { closedPort } from '../../../../test/support/peers/silent.js'
import { GuardedOutbound } from '../../../platform/outbound/guarded-outbound.js'
import { ObjectKeyInvalid } from '../storage.errors.js'
import { storageDriverContract } from '../storage-driver.fake.js'
import { GcsDriver } from './gcs-driver.js'

const gcs = await startGcs()

/**
 * The storage emulator of firebase-tools where the packages of `test/peers` can be installed. Buckets, sessions, conditions, tokens and
 * signatures are not its own: they are played before it as Google documents them. It sorts by UTF-16, tells all folders at once, and keeps objects in files
 * by their keys, so that long ones find no room, and some with dots or slashes are one file.
 */
describe.skipIf(!gcs)('against the storage emulator', () => {
  storageDriverContract(
    'GcsDriver',
    async () => {
      if (!gcs) throw new Error('the storage emulator is not installed')
      const { projectId, clientEmail } = gcs
      const outbound = new GuardedOutbound({ allow: '127.0.0.1' })
      const driverFor = (endpoint: string, privateKey = gcs.privateKey) =>
        new GcsDriver(
          { type: 'gcs', endpoint: new URL(endpoint), credentials: { projectId, clientEmail, privateKey } },
          outbound,
        )
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
      const driver = driverFor(gcs.endpoint)
      const stranger = driverFor(gcs.endpoint, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
      const unreachable = driverFor(`http://127.0.0.1:${await closedPort()}`)
      return {
        driver,
        withWrongCredentials: { driver: stranger, secrets: ['Bearer', 'PRIVATE KEY'] },
        unreachable,
        async close() {
          for (const one of [driver, stranger, unreachable]) await one.close()
          await outbound.close()
          await gcs.stop()
        },
      }
    },
    {
      refuses: (key) => key.includes('\n'),
      byteOrder: false,
      foldersAmong: false,
      beyond: (key) => key.length > 100 || /\/\/|\/\.\.?\/|^\.{1,2}(\/|$)|\/\.\.?$|^\//.test(key),
    },
  )
})

it('signs no URL that names another object', async () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const credentials = { projectId: 'p', clientEmail: 'a@b', privateKey: pem }
  const outbound = new GuardedOutbound()
  const driver = new GcsDriver(
    { type: 'gcs', endpoint: new URL('https://storage.googleapis.com'), credentials },
    outbound,
  )
  for (const key of ['../other/key', 'a/./b', 'a/..'])
    for (const url of [
      driver.presignGet('bucket', key, { expiresIn: 60 }),
      driver.presignPut('bucket', key, { expiresIn: 60 }),
    ])
      await expect(url).rejects.toThrow(ObjectKeyInvalid)
  const url = new URL(await driver.presignGet('bucket', 'a//b c', { expiresIn: 60 }))
  expect([url.host, url.pathname]).toEqual(['storage.googleapis.com', '/bucket/a//b%20c'])
  await outbound.close()
})
