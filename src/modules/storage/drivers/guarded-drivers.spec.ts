import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { GuardedOutbound, type GuardedOutboundOptions } from '../../../platform/outbound/guarded-outbound.js'
import { LocalServer } from '../../../platform/outbound/local-server.fake.js'
import { PROVIDER_TYPES, type ProviderSettings, type ProviderType } from '../provider-settings.js'
import { ProviderFailed } from '../storage.errors.js'
import type { StorageDriver } from '../storage-driver.js'
import { type DriverMaker, driverMaker } from './open-driver.js'

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const CREDENTIALS = {
  minio: { accessKey: 'key', secretKey: 'secret' },
  s3: { accessKey: 'key', secretKey: 'secret' },
  'azure-blob': { accountName: 'account', accountKey: btoa('secret') },
  gcs: {
    projectId: 'project',
    clientEmail: 'tester@project.iam.gserviceaccount.com',
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  },
}

const makers = new Map(await Promise.all(PROVIDER_TYPES.map(async (type) => [type, await driverMaker(type)] as const)))
const open: { stop(): Promise<void> }[] = []
/** What nobody may come to. */
let inside: LocalServer

beforeEach(async () => {
  inside = await serve((_, response) => response.end('inside'))
})

afterEach(async () => {
  vi.unstubAllEnvs()
  for (const one of open.splice(0)) await one.stop()
})

async function serve(listener: RequestListener): Promise<LocalServer> {
  const server = await LocalServer.start(listener)
  open.push(server)
  return server
}

function driver(type: ProviderType, endpoint: string, options: GuardedOutboundOptions = {}): StorageDriver {
  const outbound = new GuardedOutbound(options)
  const settings = { type, endpoint: new URL(endpoint), credentials: CREDENTIALS[type] } as ProviderSettings
  const opened = (makers.get(type) as DriverMaker)(settings, outbound)
  open.push({
    async stop() {
      await opened.close()
      await outbound.close()
    },
  })
  return opened
}

const OPERATIONS: Record<string, (of: StorageDriver) => Promise<unknown>> = {
  listBuckets: (of) => of.listBuckets(),
  hasBucket: (of) => of.hasBucket('bucket'),
  createBucket: (of) => of.createBucket('bucket'),
  deleteBucket: (of) => of.deleteBucket('bucket', { force: true }),
  listObjects: (of) => of.listObjects('bucket', { limit: 1 }),
  headObject: (of) => of.headObject('bucket', 'key'),
  getObject: (of) => of.getObject('bucket', 'key'),
  putObject: (of) => of.putObject('bucket', 'key', Readable.from([Buffer.alloc(100)])),
  putLargeObject: (of) => of.putObject('bucket', 'key', Readable.from([Buffer.alloc(9 * 1024 * 1024)])),
  deleteObject: (of) => of.deleteObject('bucket', 'key'),
}

describe.each(PROVIDER_TYPES)('%s', (type) => {
  it.each(Object.entries(OPERATIONS))('%s comes to no address inside', async (_, operate) => {
    for (const endpoint of [inside.origin, `http://localhost:${inside.port}`, `https://127.1:${inside.port}`])
      await expect(operate(driver(type, endpoint))).rejects.toThrow(/^Request to '.+' refused: it (is|leads to) a/)
    for (const address of ['127.0.0.1', '169.254.169.254']) {
      const named = driver(type, `http://storage.example:${inside.port}`, {
        resolver: async () => [{ address, family: 4 }],
      })
      const error: Error = await operate(named).then(
        () => expect.unreachable('it was let in'),
        (thrown) => thrown,
      )
      expect(error).toBeInstanceOf(ProviderFailed)
      expect(error.message).toMatch(/^Request to '(bucket\.)?storage\.example' refused: it leads to a/)
    }
    expect(inside.requests).toEqual([])
  })

  it.each([301, 302, 303, 307, 308])('follows no redirect %d to an address inside', async (status) => {
    const outside = await serve((_, response) =>
      response.writeHead(status, { location: `${inside.origin}/latest/meta-data` }).end(),
    )
    for (const operate of Object.values(OPERATIONS)) {
      const error: Error = await operate(driver(type, outside.origin, { allow: outside.authority })).then(
        () => expect.unreachable('it was let in'),
        (thrown) => thrown,
      )
      expect(error).toBeInstanceOf(ProviderFailed)
      expect(error.message).toContain(String(status))
    }
    expect(outside.requests.length).toBeGreaterThanOrEqual(Object.keys(OPERATIONS).length)
    expect(inside.requests).toEqual([])
  })

  it('takes no answer without end', async () => {
    let sent = 0
    const service = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'application/xml' })
      const block = Buffer.alloc(1024 * 1024, ' ')
      const more = () => {
        if (response.destroyed) return
        sent += block.length
        response.write(block, more)
      }
      more()
    })
    const opened = driver(type, service.origin, { allow: service.authority })
    await expect(opened.listBuckets()).rejects.toThrow(
      new ProviderFailed("'127.0.0.1' answers with more than there is room for"),
    )
    expect(sent / service.requests.length).toBeLessThan(48 * 1024 * 1024)
  })

  it('reads no credentials, addresses or proxies that lie about, and asks no metadata service', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-ambient-'))
    open.push({ stop: async () => rmSync(folder, { recursive: true, force: true }) })
    // Whoever opens it to read waits for ever.
    const trap = join(folder, 'trap')
    execFileSync('mkfifo', [trap])
    for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'all_proxy'])
      vi.stubEnv(name, inside.origin)
    for (const name of ['NO_PROXY', 'no_proxy']) vi.stubEnv(name, undefined)
    for (const name of ['AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE', 'GOOGLE_APPLICATION_CREDENTIALS'])
      vi.stubEnv(name, trap)
    vi.stubEnv('AWS_PROFILE', 'ambient')
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'ambient')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'ambient')
    vi.stubEnv('AWS_ENDPOINT_URL', inside.origin)
    vi.stubEnv('AWS_ENDPOINT_URL_S3', inside.origin)
    vi.stubEnv('AWS_EC2_METADATA_SERVICE_ENDPOINT', inside.origin)
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', inside.origin)
    vi.stubEnv('AWS_DEFAULTS_MODE', 'auto')
    vi.stubEnv('STORAGE_EMULATOR_HOST', inside.origin)
    vi.stubEnv('GCE_METADATA_HOST', inside.authority)
    vi.stubEnv('METADATA_SERVER_DETECTION', 'assume-present')
    vi.stubEnv('AZURE_STORAGE_CONNECTION_STRING', `BlobEndpoint=${inside.origin}/x;AccountName=x;AccountKey=eA==`)
    const service = await serve((_, response) => response.writeHead(403).end())
    const opened = driver(type, service.origin, { allow: service.authority })
    for (const operate of Object.values(OPERATIONS)) await expect(operate(opened)).rejects.toThrow(ProviderFailed)
    expect(await opened.presignGet('bucket', 'key', { expiresIn: 60 })).toContain(service.authority)
    expect(await opened.presignPut('bucket', 'key', { expiresIn: 60 })).toContain(service.authority)
    expect(service.requests.length).toBeGreaterThanOrEqual(Object.keys(OPERATIONS).length)
    expect(inside.requests).toEqual([])
    expect(JSON.stringify(service.requests)).not.toContain('ambient')
  })
})

it('sends the chunks of an upload nowhere but to the service that opened it', async () => {
  const service = await serve((_, response) => response.writeHead(200, { location: `${inside.origin}/upload` }).end())
  const allow = `${service.authority},${inside.authority}`
  const attempt = driver('gcs', service.origin, { allow }).putObject('bucket', 'key', Readable.from([Buffer.from('x')]))
  await expect(attempt).rejects.toThrow('no upload at its own address')
  expect(inside.requests).toEqual([])
})
