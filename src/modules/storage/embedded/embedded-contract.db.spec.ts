import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testDatabase } from '../../../../test/support/database.js'
import { EmbeddedObjectStore } from '../../../platform/objects/embedded-object-store.js'
import { NoPresigner } from '../presigner.fake.js'
import { storageDriverContract } from '../storage-driver.fake.js'
import { EmbeddedStores } from './embedded-stores.js'

/** The embedded store owes what every driver does. Its signed URLs are asked for over HTTP, where the S3 protocol is. */
storageDriverContract(
  'EmbeddedStorage',
  async () => {
    const database = await testDatabase()
    const folder = await mkdtemp(join(tmpdir(), 'millrace-contract-'))
    const objects = new EmbeddedObjectStore(folder)
    const driver = new EmbeddedStores({ ...database, objects, presigner: new NoPresigner() }).of('tenant_1')
    return {
      driver,
      async close() {
        await driver.close()
        await database.drop()
        await rm(folder, { recursive: true, force: true })
      },
    }
  },
  { presigned: false },
)
