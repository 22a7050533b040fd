import type { Request } from 'express'
import { expect, it } from 'vitest'
import type { Authenticator } from './authenticator.js'
import { BasicStrategy } from './basic.strategy.js'
import type { Principal } from './principal.js'

/** What the strategy makes of a header: the pair that it asks about, or that it refuses. */
function outcome(authorization: string | undefined): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const authenticator = {
      withPassword: async (...asked: string[]) => ({ asked }) as unknown as Principal,
    } as unknown as Authenticator
    const strategy = Object.assign(Object.create(new BasicStrategy(authenticator)), {
      success: ({ asked }: { asked: string[] }) => resolve(asked),
      fail: (status: number) => resolve(status),
      error: reject,
    })
    strategy.authenticate({ headers: { authorization }, ip: '192.0.2.1' } as Request)
  })
}

function encoded(pair: string): string {
  return Buffer.from(pair).toString('base64')
}

it.each([
  ['a@example.com:password', ['a@example.com', 'password']],
  ['a@example.com:pass:word:', ['a@example.com', 'pass:word:']],
  ['jörg@example.com:пароль 🔑', ['jörg@example.com', 'пароль 🔑']],
  [':', ['', '']],
])('reads %j', async (pair, asked) => {
  expect(await outcome(`Basic ${encoded(pair)}`)).toEqual([...asked, '192.0.2.1'])
  expect(await outcome(`basic   ${encoded(pair)}`)).toEqual([...asked, '192.0.2.1'])
})

it.each([
  undefined,
  '',
  'Basic',
  'Basic ',
  'Basic !!!',
  `Basic ${encoded('no colon')}`,
  `Basic ${encoded('a:b')} more`,
  'Bearer x',
])('refuses %j', async (header) => {
  expect(await outcome(header)).toBe(401)
})
