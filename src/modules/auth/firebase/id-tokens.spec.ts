import { createHmac } from 'node:crypto'
import jwt from 'jsonwebtoken'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { testConfig } from '../../../../test/support/config.js'
import { Unauthenticated } from '../../../platform/auth/auth.errors.js'
import { systemClock } from '../../../platform/clock/clock.js'
import { FirebaseIssuer, ISSUER, PROJECT, signingKey } from './firebase-issuer.fake.js'
import { IdTokens } from './id-tokens.js'

let issuer: FirebaseIssuer
let tokens: IdTokens

beforeAll(async () => {
  issuer = await FirebaseIssuer.start()
  tokens = new IdTokens(testConfig({ FIREBASE_PROJECT_ID: PROJECT, FIREBASE_JWKS: issuer.url }), systemClock)
})

afterAll(() => issuer.close())

const now = () => Math.floor(Date.now() / 1000)

describe('an ID token', () => {
  it('says who somebody is', async () => {
    const exp = now() + 100
    expect(await tokens.verify(issuer.token({ name: 'Ada', exp }))).toEqual({
      issuer: ISSUER,
      subject: 'uid-1',
      verifiedEmail: 'ada@example.com',
      name: 'Ada',
      expiresAt: new Date(exp * 1000),
    })
  })

  it.each<[string, Record<string, unknown>]>([
    ['not checked', { email_verified: false }],
    ['said to be checked by a text', { email_verified: 'true' }],
    ['not said to be checked', { email_verified: undefined }],
    ['missing', { email: undefined }],
    ['none', { email: 'ada' }],
    ['in several lines', { email: 'ada@example.com\nx@example.com' }],
    ['a list', { email: ['ada@example.com'] }],
    ['too long', { email: `${'a'.repeat(250)}@example.com` }],
  ])('names no address that counts where it is %s', async (_, claims) => {
    expect(await tokens.verify(issuer.token(claims))).not.toHaveProperty('verifiedEmail')
  })

  it('may be a few seconds early or late, as clocks are', async () => {
    await tokens.verify(issuer.token({ iat: now() + 3, auth_time: now() + 3 }))
    await tokens.verify(issuer.token({ exp: now() - 3 }))
    await tokens.verify(issuer.token({ auth_time: undefined }))
  })

  it.each<[string, () => Record<string, unknown>]>([
    ['of another project', () => ({ aud: 'another-project' })],
    ['for several audiences', () => ({ aud: [PROJECT, 'another-project'] })],
    ['without an audience', () => ({ aud: undefined })],
    ['of another issuer', () => ({ iss: 'https://securetoken.google.com/another-project' })],
    ['of an issuer whose name begins alike', () => ({ iss: `${ISSUER}/` })],
    ['without an issuer', () => ({ iss: undefined })],
    ['that has expired', () => ({ exp: now() - 60 })],
    ['that never expires', () => ({ exp: undefined })],
    ['made in the future', () => ({ iat: now() + 60 })],
    ['made at no time', () => ({ iat: undefined, auth_time: undefined })],
    ['for a login in the future', () => ({ auth_time: now() + 60 })],
    ['that is not valid yet', () => ({ nbf: now() + 60 })],
    ['of nobody', () => ({ sub: undefined })],
    ['of an empty name', () => ({ sub: '' })],
    ['of a name too long', () => ({ sub: 'x'.repeat(129) })],
    ['of a name with U+0000', () => ({ sub: 'a\0' })],
    ['of somebody who is no text', () => ({ sub: 7 })],
  ])('is refused %s', async (_, claims) => {
    await expect(tokens.verify(issuer.token(claims()))).rejects.toThrow(Unauthenticated)
  })

  it('is refused unless one of the keys signed it, by RS256', async () => {
    const good = issuer.token()
    const { kid, publicKey, privateKey } = issuer.key
    const claims = jwt.decode(good, { json: true }) as object
    const stranger = signingKey()
    const [header = '', payload = '', signature = ''] = good.split('.')
    const pem = publicKey.export({ format: 'pem', type: 'spki' })
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const byHmac = (alg: string) => {
      const text = `${part({ alg, typ: 'JWT', kid })}.${payload}`
      return `${text}.${createHmac('sha256', pem).update(text).digest('base64url')}`
    }
    const forged = {
      'without a signature': `${part({ alg: 'none', typ: 'JWT', kid })}.${payload}.`,
      'that says RS256 and has no signature': `${header}.${payload}.`,
      'signed by HS256 with the public key': byHmac('HS256'),
      'signed so, under the name RS256': byHmac('RS256'),
      "signed with a stranger's key": issuer.token({}, stranger),
      "signed so, under the provider's name": issuer.token({}, { ...stranger, kid }),
      'without the name of a key': jwt.sign(claims, privateKey, { algorithm: 'RS256' }),
      'of another algorithm': jwt.sign(claims, privateKey, { algorithm: 'RS512', keyid: kid }),
      'that brings its key along': `${part({ alg: 'RS256', kid: stranger.kid, jwk: stranger.publicKey.export({ format: 'jwk' }) })}.${payload}.${signature}`,
      'with other claims': `${header}.${part({ ...claims, sub: 'somebody-else' })}.${signature}`,
      cut: good.slice(0, -2),
      'of two parts': `${header}.${payload}`,
    }
    for (const [name, token] of Object.entries(forged)) {
      await expect(tokens.verify(token), name).rejects.toThrow(Unauthenticated)
    }
    await tokens.verify(good)
  })

  it('is refused where no project is configured', async () => {
    await expect(new IdTokens(testConfig(), systemClock).verify(issuer.token())).rejects.toThrow(Unauthenticated)
  })

  it('is taken when another key has signed it than before', async () => {
    const fresh = new IdTokens(testConfig({ FIREBASE_PROJECT_ID: PROJECT, FIREBASE_JWKS: issuer.url }), systemClock)
    issuer.rotate()
    const [, old] = issuer.keys
    expect(await fresh.verify(issuer.token())).toMatchObject({ subject: 'uid-1' })
    expect(await fresh.verify(issuer.token({}, old))).toMatchObject({ subject: 'uid-1' })
  })
})
