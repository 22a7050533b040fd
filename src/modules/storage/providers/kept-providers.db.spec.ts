import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { systemClock } from '../../../platform/clock/clock.js'
import { Sealer } from '../../../platform/crypto/sealer.js'
import { GuardedOutbound } from '../../../platform/outbound/guarded-outbound.js'
import { LocalServer } from '../../../platform/outbound/local-server.fake.js'
import { AuditTrail } from '../../audit/audit-trail.js'
import type { EmbeddedStores } from '../embedded/embedded-stores.js'
import { ProviderNotFound } from '../storage.errors.js'
import type { StorageDriver } from '../storage-driver.js'
import { KeptProviders } from './kept-providers.js'
import { ProvidersService } from './providers.service.js'
import { StorageProvider } from './storage-provider.entity.js'

const sealer = new Sealer({ encryptionKeys: [{ id: 'one', key: randomBytes(32) }] })
const outbound = new GuardedOutbound({ allow: '127.0.0.1' })
const embedded = {} as StorageDriver
const stores = { of: () => embedded } as unknown as EmbeddedStores
const admin = { tenantId: 'default', accountId: 'account_1', email: 'a@example.com' } as Principal
let database: TestDatabase
let here: KeptProviders
let elsewhere: KeptProviders
let service: ProvidersService
let server: LocalServer

beforeAll(async () => {
  database = await testDatabase([StorageProvider])
  server = await LocalServer.start((_, response) => response.writeHead(403).end())
})

beforeEach(async () => {
  await database.dataSource.query('delete from storage_provider')
  here = new KeptProviders(database.sql, sealer, outbound, stores)
  elsewhere = new KeptProviders(database.sql, sealer, outbound, stores)
  service = new ProvidersService(database.dataSource, here, sealer, new AuditTrail(), systemClock)
})

afterAll(async () => {
  await database.drop()
  await server.stop()
  await outbound.close()
})

async function made(accessKey = 'first', isDefault = false): Promise<string> {
  const credentials = { accessKey, secretKey: 's' }
  return (await service.create(admin, { name: 'S', type: 'minio', endpoint: server.origin, credentials, isDefault })).id
}

/** With which access key a driver signs. */
async function keyOf(driver: StorageDriver): Promise<string | undefined> {
  await driver.listBuckets().catch(() => {})
  return /Credential=([^/]+)/.exec(server.requests.at(-1)?.headers.authorization ?? '')?.[1]
}

it('opens the embedded store where there is no other default', async () => {
  const id = await made()
  expect(await here.open('default')).toEqual({ id: 'default-minio', driver: embedded })
  await service.update(admin, id, { isDefault: true })
  expect((await here.open('default')).id).toBe(id)
  expect((await here.open('default', 'default-minio')).driver).toBe(embedded)
  expect((await here.open('other')).id).toBe('default-minio')
})

it('keeps a driver until its provider changes, in every process', async () => {
  const id = await made('first')
  const [mine, theirs] = [await here.open('default', id), await elsewhere.open('default', id)]
  expect((await here.open('default', id)).driver).toBe(mine.driver)
  expect(await keyOf(theirs.driver)).toBe('first')
  await service.update(admin, id, { credentials: { accessKey: 'second', secretKey: 's' } })
  for (const process of [here, elsewhere]) {
    const { driver } = await process.open('default', id)
    expect([mine.driver, theirs.driver]).not.toContain(driver)
    expect(await keyOf(driver)).toBe('second')
  }
  // Whoever has the old one still may end what was begun.
  expect(await keyOf(mine.driver)).toBe('first')
})

it('knows no provider that was deleted, is another tenant’s, or never was', async () => {
  const id = await made()
  await elsewhere.open('default', id)
  await expect(here.open('other', id)).rejects.toThrow(ProviderNotFound)
  await service.remove(admin, id)
  await expect(elsewhere.open('default', id)).rejects.toThrow(ProviderNotFound)
  await expect(here.open('default', 'provider_none')).rejects.toThrow(ProviderNotFound)
})

it('opens no credentials that were copied from another row', async () => {
  const [one, other] = [await made(), await made()]
  await database.dataSource.query(
    'update storage_provider p set sealed = o.sealed from storage_provider o where p.id = $1 and o.id = $2',
    [one, other],
  )
  await expect(here.open('default', one)).rejects.toThrow('cannot be opened')
})

it('has one default at most, whatever writes', async () => {
  await made('first', true)
  const second = await made('second')
  await expect(
    database.dataSource.query('update storage_provider set is_default = true where id = $1', [second]),
  ).rejects.toThrow('storage_provider_default')
})

it('lets transfers end when it shuts down, and keeps no connection', async () => {
  const id = await made()
  const { driver } = await here.open('default', id)
  await driver.putObject('bucket', 'key', Readable.from([Buffer.from('x')])).catch(() => {})
  await here.onApplicationShutdown()
  expect(await keyOf(driver)).toBe('first')
})
