import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { placeOfAccessKey } from '../../src/modules/auth/sealed-access-keys.js'
import { sealOf } from '../../src/modules/kv/kv-place.js'
import { placeOfRunSecret } from '../../src/modules/secrets/run-secrets.js'
import { placeOfSecret } from '../../src/modules/secrets/sealed-secrets.js'
import { placeOfProvider } from '../../src/modules/storage/providers/sealed-providers.js'
import { type Sealed, Sealer } from '../../src/platform/crypto/sealer.js'
import { testConfig } from '../support/config.js'
import { type TestDatabase, testDatabase } from '../support/database.js'
import { runFromSource } from '../support/process.js'

const OLD = `old:${'0d'.repeat(32)}`
const NEW = `new:${'4e'.repeat(32)}`
/** An entry's place, and one that is as it was before entries were sealed. */
const ENTRY = { accountId: 'account_1', scope: 'global', scopeKey: '', key: 'cursor' } as const
const PLAIN = { ...ENTRY, key: 'plain' }
const program = fileURLToPath(new URL('../../src/app/rotate-keys.ts', import.meta.url))
let database: TestDatabase

beforeAll(async () => {
  database = await testDatabase()
  await database.dataSource.query(
    `insert into account (id, tenant_id, name, email, role, password_hash, created_at, updated_at)
     values ('account_1', 'default', 'Ann', 'ann@example.com', 'user', '', now(), now())`,
  )
  const sealer = new Sealer(testConfig({ ENCRYPTION_KEY: OLD }))
  for (const key of ['FIRST', 'SECOND']) {
    const { keyId, sealed } = sealer.seal(`value of ${key}`, placeOfSecret('account_1', key))
    await database.dataSource.query(`insert into secret values ('account_1', $1, 'default', $2, $3, now(), now())`, [
      key,
      keyId,
      sealed,
    ])
  }
  const { keyId, sealed } = sealer.seal('{"page":2}', sealOf(ENTRY))
  await database.dataSource.query(
    `insert into kv_entry (id, tenant_id, account_id, scope, scope_key, key, key_id, sealed, created_at)
     values ('kv_1', 'default', 'account_1', 'global', '', 'cursor', $1, $2, now()),
       ('kv_2', 'default', 'account_1', 'global', '', 'plain', '', $3, now())`,
    [keyId, sealed, Buffer.from('"old"')],
  )
  await database.dataSource.query(
    `insert into api_key (id, tenant_id, account_id, name, scopes, token_hash, created_at)
     values ('key_1', 'default', 'account_1', 'Backup', '{s3}', '', now())`,
  )
  const argument = sealer.seal('a secret argument', placeOfRunSecret('run_1', 'password'))
  await database.dataSource.query(`insert into run_secret values ('run_1', 'password', 'default', $1, $2, now())`, [
    argument.keyId,
    argument.sealed,
  ])
  const pair = sealer.seal('a secret key', placeOfAccessKey('MRAAA'))
  await database.dataSource.query(`insert into access_key values ('MRAAA', 'key_1', $1, $2)`, [pair.keyId, pair.sealed])
  const credentials = sealer.seal('{"secretKey":"s"}', placeOfProvider('default', 'provider_1'))
  await database.dataSource.query(
    `insert into storage_provider values ('provider_1', 'default', 'Archive', 's3', 'https://s3.example', null, null,
       '{}', $1, $2, false, now(), now())`,
    [credentials.keyId, credentials.sealed],
  )
})

afterAll(() => database.drop())

function rotate(keys: string) {
  return runFromSource([program], {
    DATABASE_URL: database.url,
    DATA_DIR: join(tmpdir(), `millrace-rotate-${process.pid}`),
    JWT_SECRET: 'for tests only, forty characters long...',
    ENCRYPTION_KEY: keys,
  }).ended
}

async function secrets(): Promise<(Sealed & { key: string })[]> {
  return await database.dataSource.query('select key, key_id as "keyId", sealed from secret order by key')
}

it('leaves all as it is, and says so, where a key is missing', async () => {
  const { code, output, errors } = await rotate(NEW)
  expect({ code, output, errors }).toEqual({
    code: 1,
    output: '',
    errors: "the encryption key 'old' is not configured\n",
  })
  expect((await secrets()).map(({ keyId }) => keyId)).toEqual(['old', 'old'])
})

it('seals every secret, those of runs, every key-value entry, every secret key for S3 and all credentials of providers under the new key, so that the old one can go', async () => {
  const { code, output, errors } = await rotate(`${NEW},${OLD}`)
  expect({ code, output, errors }).toEqual({
    code: 0,
    output:
      'secret: 2 sealed anew under the key new\nrun_secret: 1 sealed anew under the key new\nkv_entry: 1 sealed anew under the key new\naccess_key: 1 sealed anew under the key new\naudit_key: 0 sealed anew under the key new\nstorage_provider: 1 sealed anew under the key new\n',
    errors: '',
  })
  const sealer = new Sealer(testConfig({ ENCRYPTION_KEY: NEW }))
  const values = (await secrets()).map(({ key, ...sealed }) => sealer.open(sealed, placeOfSecret('account_1', key)))
  expect(values).toEqual(['value of FIRST', 'value of SECOND'])
  const entries = await database.dataSource.query('select key_id as "keyId", sealed from kv_entry order by id')
  expect(entries.map((row: Sealed, index: number) => sealer.open(row, sealOf(index === 0 ? ENTRY : PLAIN)))).toEqual([
    '{"page":2}',
    '"old"',
  ])
  const [argument] = await database.dataSource.query('select key_id as "keyId", sealed from run_secret')
  expect(sealer.open(argument, placeOfRunSecret('run_1', 'password'))).toBe('a secret argument')
  const [pair] = await database.dataSource.query('select key_id as "keyId", sealed from access_key')
  expect(sealer.open(pair, placeOfAccessKey('MRAAA'))).toBe('a secret key')
  const [provider] = await database.dataSource.query('select key_id as "keyId", sealed from storage_provider')
  expect(sealer.open(provider, placeOfProvider('default', 'provider_1'))).toBe('{"secretKey":"s"}')
  expect((await rotate(NEW)).output).toBe(
    'secret: 0 sealed anew under the key new\nrun_secret: 0 sealed anew under the key new\nkv_entry: 0 sealed anew under the key new\naccess_key: 0 sealed anew under the key new\naudit_key: 0 sealed anew under the key new\nstorage_provider: 0 sealed anew under the key new\n',
  )
})
