import 'reflect-metadata'
import { DataSource } from 'typeorm'
import { sealedAuditKey } from '../modules/audit/audit-key.js'
import { sealedAccessKeys } from '../modules/auth/sealed-access-keys.js'
import { sealedEntries } from '../modules/kv/kv-place.js'
import { sealEntries } from '../modules/kv/seal-entries.js'
import { sealedRunSecrets } from '../modules/secrets/run-secrets.js'
import { sealedSecrets } from '../modules/secrets/sealed-secrets.js'
import { sealedProviders } from '../modules/storage/providers/sealed-providers.js'
import { configOrExit } from '../platform/config/config.js'
import { rotateKeys } from '../platform/crypto/rotate-keys.js'
import { CannotOpen, Sealer } from '../platform/crypto/sealer.js'
import { dataSourceOptions } from '../platform/database/data-source.js'
import { DatabaseServer } from '../platform/database/database-server.js'
import { EmbeddedPostgresError } from '../platform/database/embedded-error.js'

/**
 * `npm run keys:rotate`: seals every secret, every key-value entry, every secret key for S3 and all credentials of storage providers under
 * the first key of ENCRYPTION_KEY, whichever of the others they are under. Afterwards the others can be left out. Processes may run meanwhile, if they have been started with the same keys.
 */
async function rotate(): Promise<void> {
  const config = configOrExit()
  const server = await DatabaseServer.open(config)
  const database = new DataSource(dataSourceOptions({ url: server.url, poolSize: 2, applicationName: 'millrace keys' }))
  try {
    await database.initialize()
    const sealer = new Sealer(config)
    await sealEntries(database, sealer)
    for await (const { table, resealed } of rotateKeys(database, sealer, [
      sealedSecrets,
      sealedRunSecrets,
      sealedEntries,
      sealedAccessKeys,
      sealedAuditKey,
      sealedProviders,
    ])) {
      console.log(`${table}: ${resealed} sealed anew under the key ${sealer.currentKeyId}`)
    }
  } finally {
    if (database.isInitialized) await database.destroy()
    await server.close()
  }
}

try {
  await rotate()
} catch (error) {
  const isForOperator = error instanceof EmbeddedPostgresError || error instanceof CannotOpen
  console.error(isForOperator ? error.message : error)
  process.exitCode = 1
}
