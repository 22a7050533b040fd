import { expect, it } from 'vitest'
import { headerOf, tokenKind } from './token-kind.js'

function withHeader(header: unknown): string {
  return `${Buffer.from(JSON.stringify(header)).toString('base64url')}.e30.x`
}

it.each([
  [{ alg: 'HS256', typ: 'JWT' }, 'access-token'],
  [{ alg: 'HS256', typ: 'JWT', kid: 'key_01' }, 'api-key'],
  [{ alg: 'RS256', kid: 'a1' }, 'id-token'],
  // Who is named as a key is not believed to be signed by an identity provider, nor the other way round: the algorithm decides.
  [{ alg: 'RS256', kid: 'key_01' }, 'id-token'],
  [{ alg: 'none', kid: 'key_01' }, 'api-key'],
  [{ alg: 'none' }, 'access-token'],
  [{ alg: ['RS256'] }, 'access-token'],
  [{ kid: { toString: 'key_' } }, 'access-token'],
  [null, 'access-token'],
  [7, 'access-token'],
])('a token with the header %j is treated as %s', (header, kind) => {
  expect(tokenKind(withHeader(header))).toBe(kind)
})

it.each(['', '.', '..', 'x', '!!!.e30.', 'e30', `${'A'.repeat(10_000)}.`])('%.20j has no header', (token) => {
  expect(headerOf(token)).toEqual({})
  expect(tokenKind(token)).toBe('access-token')
})
