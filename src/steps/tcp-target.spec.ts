import { expect, it } from 'vitest'
import { loopbackOutbound } from './loopback.fake.js'
import type { Outbound } from './ports.js'
import { tcpTarget, tlsOptions } from './tcp-target.js'

const leadingTo = (address: string): Outbound => ({
  ...loopbackOutbound,
  resolve: async () => ({ address, family: address.includes(':') ? 6 : 4 }),
})

it('goes to the vetted address under the name as written', async () => {
  expect(await tcpTarget(leadingTo('93.184.216.34'), 'mail.example.com', 25)).toEqual({
    address: '93.184.216.34',
    servername: 'mail.example.com',
    loopback: false,
  })
  for (const literal of ['93.184.216.34', '2606:2800::1', '[2606:2800::1]']) {
    expect((await tcpTarget(leadingTo('93.184.216.34'), literal, 25)).servername).toBeUndefined()
  }
  for (const address of ['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1']) {
    expect((await tcpTarget(leadingTo(address), 'localhost', 25)).loopback).toBe(true)
  }
})

it('trusts a certificate unseen on loopback only, and only where the author says nothing else', () => {
  const away = { address: '93.184.216.34', servername: 'mail.example.com', loopback: false }
  const here = { address: '127.0.0.1', loopback: true }
  expect(tlsOptions(away)).toEqual({ servername: 'mail.example.com', rejectUnauthorized: true })
  expect(tlsOptions(away, { reject_unauthorized: false }).rejectUnauthorized).toBe(false)
  expect(tlsOptions(here)).toEqual({ rejectUnauthorized: false })
  expect(tlsOptions(here, { ca: 'PEM' })).toEqual({ ca: 'PEM', rejectUnauthorized: true })
  expect(tlsOptions(here, { reject_unauthorized: true }).rejectUnauthorized).toBe(true)
})
