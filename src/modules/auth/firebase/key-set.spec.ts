import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Logger } from '@nestjs/common'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeClock } from '../../../platform/clock/clock.fake.js'
import { Unavailable } from '../../../platform/http/refusals.js'
import { FirebaseIssuer, signingKey } from './firebase-issuer.fake.js'
import { KeySet } from './key-set.js'

let issuer: FirebaseIssuer
let clock: FakeClock
let keys: KeySet

beforeEach(async () => {
  vi.spyOn(Logger.prototype, 'warn').mockImplementation(() => {})
  issuer = await FirebaseIssuer.start()
  clock = new FakeClock()
  keys = new KeySet(issuer.url, clock)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await issuer.close()
})

async function pass(seconds: number): Promise<void> {
  await clock.advance(seconds * 1000)
}

it('are read once, however many ask at the same time', async () => {
  const found = await Promise.all(Array.from({ length: 20 }, () => keys.find(issuer.key.kid)))
  expect(found.every((key) => key?.equals(issuer.key.publicKey))).toBe(true)
  await keys.find(issuer.key.kid)
  expect(issuer.asked).toBe(1)
})

it('show a rotation with the first token that the new key signed', async () => {
  const old = issuer.key
  await keys.find(old.kid)
  await pass(60)
  issuer.rotate()
  expect((await keys.find(issuer.key.kid))?.equals(issuer.key.publicKey)).toBe(true)
  expect(await keys.find(old.kid)).toBeDefined()
  expect(issuer.asked).toBe(2)
})

it('are looked for once in ten seconds, whatever names are invented', async () => {
  await keys.find(issuer.key.kid)
  for (let name = 0; name < 50; name++) expect(await keys.find(`invented ${name}`)).toBeUndefined()
  expect(issuer.asked).toBe(1)
  await pass(10)
  for (let name = 0; name < 50; name++) expect(await keys.find(`invented ${name}`)).toBeUndefined()
  expect(issuer.asked).toBe(2)
})

it('count no more once they are published no more', async () => {
  const old = issuer.key
  await keys.find(old.kid)
  issuer.keys = [signingKey()]
  await pass(3_600)
  expect(await keys.find(old.kid)).toBeDefined()
  await vi.waitFor(async () => expect(await keys.find(old.kid)).toBeUndefined())
  expect(issuer.asked).toBe(2)
})

it('are believed for as long as their server says', async () => {
  issuer.cacheControl = 'public, max-age=120, must-revalidate'
  await keys.find(issuer.key.kid)
  await pass(119)
  await keys.find(issuer.key.kid)
  expect(issuer.asked).toBe(1)
  await pass(1)
  await keys.find(issuer.key.kid)
  await vi.waitFor(() => expect(issuer.asked).toBe(2))
})

describe('while their server is away', () => {
  it('those that are known go on counting for a day, and of others nothing is said', async () => {
    await keys.find(issuer.key.kid)
    issuer.status = false
    await pass(3_600 + 86_399)
    expect(await keys.find(issuer.key.kid)).toBeDefined()
    await vi.waitFor(async () => await expect(keys.find('another')).rejects.toThrow(Unavailable))
    await pass(1)
    await expect(keys.find(issuer.key.kid)).rejects.toThrow(Unavailable)
    issuer.status = 200
    await pass(10)
    expect(await keys.find(issuer.key.kid)).toBeDefined()
  })

  it.each([
    ['an error', () => Object.assign(issuer, { status: 500 })],
    ['a redirect', () => Object.assign(issuer, { status: 302 })],
    ['no JWK set', () => vi.spyOn(issuer, 'jwks', 'get').mockReturnValue('{"keys": 7}')],
    ['no JSON', () => vi.spyOn(issuer, 'jwks', 'get').mockReturnValue('oops')],
    ['too much', () => vi.spyOn(issuer, 'jwks', 'get').mockReturnValue('x'.repeat(2_000_000))],
    ['no keys', () => Object.assign(issuer, { keys: [] })],
  ])('which is also when it answers %s', async (_, break_) => {
    break_()
    await expect(keys.find('kid-1')).rejects.toThrow(Unavailable)
  })
})

it('are RSA keys of at least 2048 bits that sign; nothing else in the set counts', async () => {
  const { key } = issuer
  const jwk = key.publicKey.export({ format: 'jwk' })
  const weak = signingKey(1024)
  issuer.extra = [
    { kty: 'oct', kid: 'shared', k: randomBytes(32).toString('base64url') },
    { ...jwk, kid: 'encrypts', use: 'enc' },
    { ...jwk, kid: 'other', alg: 'PS256' },
    { ...jwk, kid: 7 },
    { ...weak.publicKey.export({ format: 'jwk' }), kid: weak.kid },
  ]
  expect(await keys.find(key.kid)).toBeDefined()
  for (const kid of ['shared', 'encrypts', 'other', '7', weak.kid]) expect(await keys.find(kid)).toBeUndefined()
})

it('may be in a file, which is read anew', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-keys-'))
  const file = join(folder, 'keys.json')
  try {
    const filed = new KeySet(file, clock)
    await expect(filed.find(issuer.key.kid)).rejects.toThrow(Unavailable)
    writeFileSync(file, issuer.jwks)
    await pass(10)
    expect(await filed.find(issuer.key.kid)).toBeDefined()
    issuer.rotate()
    writeFileSync(file, issuer.jwks)
    await pass(10)
    expect(await filed.find(issuer.key.kid)).toBeDefined()
    expect(issuer.asked).toBe(0)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
