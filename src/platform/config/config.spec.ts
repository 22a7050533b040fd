import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { runFromSource } from '../../../test/support/process.js'
import { ConfigError, readConfig } from './config.js'

let dataDir: string
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'millrace-config-'))
})
afterEach(() => rmSync(dataDir, { recursive: true }))

const JWT_SECRET = 'j'.repeat(40)
const KEY = 'ab'.repeat(32)
const OLD_KEY = Buffer.alloc(32, 7).toString('base64')

function faultsOf(environment: Record<string, string>): readonly string[] {
  try {
    readConfig({ DATA_DIR: dataDir, ...environment })
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
  return []
}

it('has a default for everything', () => {
  const config = readConfig({ DATA_DIR: dataDir })
  expect(config).toMatchObject({
    port: 8080,
    host: '127.0.0.1',
    rateLimit: 600,
    scriptTimeoutMs: 5000,
    scriptMemoryMb: 64,
  })
  expect(config).toMatchObject({
    httpMaxResponseBytes: 10_485_760,
    bodyLimitBytes: 1_048_576,
    spillBytes: 16_384,
    retentionDays: 30,
    bucketQuotaBytes: 107_374_182_400,
    bucketQuotaObjects: 1_000_000,
    bucketGraceMinutes: 10,
    artifactMaxBytes: 268_435_456,
    artifactQuotaBytes: 6_442_450_944,
    artifactRetentionDays: 7,
    workerTags: ['default'],
    maxActiveRuns: 500,
    maxJobSteps: 32,
    mcpCommands: [],
    outboundAllow: [],
  })
  expect(config.databaseUrl).toBeUndefined()
})

it('takes an empty variable for one that is not set', () => {
  expect(readConfig({ DATA_DIR: dataDir, PORT: '', REDIS_URL: ' ' })).toMatchObject({ port: 8080, redisUrl: undefined })
})

it('reports every fault at once', () => {
  const faults = faultsOf({
    PORT: '80a',
    RATE_LIMIT: '-1',
    DATABASE_URL: 'mysql://somewhere',
    ENCRYPTION_KEY: 'short',
    JWT_SECRET: 'short',
    LOG_LEVEL: 'loud',
    ADMIN_EMAIL: 'nobody',
    FIREBASE_JWKS: './keys.json',
  })
  expect(faults).toEqual([
    'PORT must be a whole number from 0 to 65535',
    'DATABASE_URL must be an address that starts with postgres:// or postgresql://',
    'ADMIN_EMAIL must be an e-mail address',
    'JWT_SECRET must have at least 32 characters',
    'ENCRYPTION_KEY must be 32 bytes as 64 hex digits or base64, or a list id:key,id2:key2 of such',
    'RATE_LIMIT must be a whole number from 0 to 1000000',
    'LOG_LEVEL must be one of fatal, error, warn, info, debug, trace, silent',
    'FIREBASE_PROJECT_ID is required with FIREBASE_JWKS',
  ])
})

it('takes a mail server and its sender together, and shows no password of it', () => {
  const mail = { SMTP_URL: 'smtp://me:pa55word@mail:25', SMTP_FROM: 'Us <us@example.com>' }
  expect(readConfig({ DATA_DIR: dataDir, ...mail }).mail).toEqual({ url: mail.SMTP_URL, from: mail.SMTP_FROM })
  expect(JSON.stringify(readConfig({ DATA_DIR: dataDir, ...mail }))).not.toContain('pa55word')
  expect(faultsOf({ SMTP_URL: mail.SMTP_URL })).toEqual(['SMTP_FROM is required with SMTP_URL'])
  expect(faultsOf({ SMTP_FROM: mail.SMTP_FROM })).toEqual(['SMTP_URL is required with SMTP_FROM'])
  expect(faultsOf({ ...mail, SMTP_FROM: 'a@b\nBcc: c@d' })).toHaveLength(1)
})

it('wants the keys given in production, and variables together that need each other', () => {
  expect(faultsOf({ NODE_ENV: 'production', ADMIN_PASSWORD: 'long enough', FIREBASE_JWKS: './keys.json' })).toEqual([
    'JWT_SECRET is required with NODE_ENV=production',
    'ENCRYPTION_KEY is required with NODE_ENV=production',
    'ADMIN_EMAIL is required with ADMIN_PASSWORD',
    'FIREBASE_PROJECT_ID is required with FIREBASE_JWKS',
  ])
  expect(faultsOf({ NODE_ENV: 'production', JWT_SECRET, ENCRYPTION_KEY: KEY })).toEqual([])
})

it('has DATA_DIR by its own name, whatever links lead to it', () => {
  symlinkSync(dataDir, join(dataDir, 'link'))
  expect(readConfig({ DATA_DIR: join(dataDir, 'link') }).dataDir).toBe(realpathSync(dataDir))
  const given = { DATA_DIR: join(dataDir, 'link', 'new', 'data'), JWT_SECRET, ENCRYPTION_KEY: KEY }
  expect(readConfig(given).dataDir).toBe(join(realpathSync(dataDir), 'new', 'data'))
})

it('says that the keys cannot be kept where DATA_DIR is no folder', () => {
  expect(faultsOf({ DATA_DIR: '/dev/null' })).toEqual([
    expect.stringMatching(/^DATA_DIR cannot hold the generated keys/),
  ])
})

describe('keys', () => {
  it('are made once and kept where only the owner reads them', () => {
    const first = readConfig({ DATA_DIR: dataDir })
    const second = readConfig({ DATA_DIR: dataDir })
    expect(second.jwtSecret).toBe(first.jwtSecret)
    expect(second.encryptionKeys).toEqual(first.encryptionKeys)
    expect(first.jwtSecret).toMatch(/^[0-9a-f]{64}$/)
    expect(first.encryptionKeys[0]?.key).toHaveLength(32)
    const folder = join(dataDir, 'keys')
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    expect(readdirSync(folder).sort()).toEqual(['encryption-key', 'jwt-secret'])
    for (const file of readdirSync(folder)) expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600)
  })

  it('are agreed upon by processes that start together', async () => {
    const script = `
      const { readConfig } = await import(${JSON.stringify(new URL('config.ts', import.meta.url).href)})
      const { jwtSecret, encryptionKeys } = readConfig({ DATA_DIR: ${JSON.stringify(dataDir)} })
      console.log(jwtSecret, encryptionKeys[0].id)`
    const started = Array.from({ length: 4 }, () => runFromSource(['--input-type=module', '-e', script]))
    const keys = await Promise.all(started.map(async (process) => (await process.ended).output))
    expect(keys[0]).toMatch(/^[0-9a-f]{64} [0-9a-f]{12}\n$/)
    expect(new Set(keys).size).toBe(1)
  })

  it('rotate: the first encrypts, all are known by id', () => {
    const { encryptionKeys } = readConfig({ DATA_DIR: dataDir, ENCRYPTION_KEY: `new:${KEY}, old:${OLD_KEY}` })
    expect(encryptionKeys[0]).toEqual({ id: 'new', key: Buffer.from(KEY, 'hex') })
    expect(encryptionKeys[1]).toEqual({ id: 'old', key: Buffer.from(OLD_KEY, 'base64') })
  })

  it('that get a name later are still found under the id they had before', () => {
    const [unnamed] = readConfig({ DATA_DIR: dataDir, ENCRYPTION_KEY: OLD_KEY }).encryptionKeys
    const later = readConfig({ DATA_DIR: dataDir, ENCRYPTION_KEY: `new:${KEY},old:${OLD_KEY}` }).encryptionKeys
    expect(later).toContainEqual(unnamed)
  })

  it('of one id are refused', () => {
    expect(faultsOf({ ENCRYPTION_KEY: `a:${KEY},a:${OLD_KEY}` })).toEqual([
      'ENCRYPTION_KEY must not give two keys the same id',
    ])
  })
})

it('hides its secrets when printed, and cannot be changed', () => {
  const config = readConfig({
    DATA_DIR: dataDir,
    DATABASE_URL: 'postgres://me:pa55word@db/app?sslpassword=pa55word',
    REDIS_URL: 'redis://:pa55word@cache',
    ADMIN_EMAIL: 'me@example.com',
    ADMIN_PASSWORD: 'pa55word',
    JWT_SECRET,
    ENCRYPTION_KEY: `one:${KEY}`,
  })
  for (const printed of [JSON.stringify(config), inspect(config), inspect({ config }), `${JSON.stringify([config])}`]) {
    expect(printed).toContain('me@example.com')
    expect(printed).not.toContain('pa55word')
    expect(printed).not.toContain(JWT_SECRET)
    expect(printed).not.toContain('abab')
    expect(printed).not.toContain('ab ab')
  }
  expect(() => Object.assign(config, { port: 1 })).toThrow(TypeError)
  expect(() => (config.mcpCommands as string[]).push('sh')).toThrow(TypeError)
})

/** But for the demo, which starts the server as a shell would and hands its own environment on. */
it('is the only reader of the environment', () => {
  const source = join(import.meta.dirname, '../..')
  const readers = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts') && !file.startsWith('demo/'))
    .filter((file) => readFileSync(join(source, file), 'utf8').includes('process.env'))
  expect(readers).toEqual([relative(source, join(import.meta.dirname, 'config.ts'))])
})

it('hands on nothing that configures the program itself', () => {
  const config = readConfig({
    NODE_ENV: 'test',
    JWT_SECRET: 'x'.repeat(40),
    ENCRYPTION_KEY: `test:${'5e'.repeat(32)}`,
    DATABASE_URL: 'postgres://user:password@host/db',
    NODE_OPTIONS: '--require x',
    COLOUR: 'blue',
    LANG: 'C',
  })
  expect(config.surroundings).toEqual({ COLOUR: 'blue', LANG: 'C' })
  expect(JSON.stringify(config)).not.toContain('blue')
})
