import type { IncomingHttpHeaders } from 'node:http'
import { describe, expect, it } from 'vitest'
import { CrossOrigin } from './auth.errors.js'
import { requireOwnOrigin } from './own-origin.js'

const HOST = 'flows.example.com:8443'

function ask(headers: IncomingHttpHeaders, host: string | undefined = HOST) {
  return () => requireOwnOrigin(headers, host)
}

describe('a request with the cookie of a session', () => {
  it.each<[string, IncomingHttpHeaders]>([
    ['a page of this server', { 'sec-fetch-site': 'same-origin', origin: `https://${HOST}` }],
    [
      'such a page, behind a proxy that calls the server otherwise',
      { 'sec-fetch-site': 'same-origin', origin: 'https://a' },
    ],
    ['whoever typed the address', { 'sec-fetch-site': 'none' }],
    ['a page of this server in an older browser', { origin: `https://${HOST}` }],
    ['curl', { 'content-type': 'application/json' }],
    ['curl without a body', {}],
  ])('counts from %s', (_, headers) => {
    expect(ask(headers)).not.toThrow()
  })

  it.each<[string, IncomingHttpHeaders]>([
    ['another site', { 'sec-fetch-site': 'cross-site', origin: `https://${HOST}` }],
    ['a neighbour below the same domain', { 'sec-fetch-site': 'same-site' }],
    ['another origin, in an older browser', { origin: 'https://example.com:8443' }],
    ['another port', { origin: 'https://flows.example.com' }],
    ['a host whose name begins alike', { origin: `https://${HOST}.evil.example` }],
    ['a sandboxed page', { origin: 'null' }],
    ['an origin that is none', { origin: '' }],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['a form of text', { 'content-type': 'Text/Plain;charset=UTF-8' }],
    ['a form with files', { 'content-type': 'multipart/form-data; boundary=x' }],
  ])('does not count from %s', (_, headers) => {
    expect(ask(headers)).toThrow(CrossOrigin)
  })

  it('does not count where the host is not known', () => {
    expect(() => requireOwnOrigin({ origin: 'https://a' }, undefined)).toThrow(CrossOrigin)
  })
})
