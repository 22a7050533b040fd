import { describe, expect, it } from 'vitest'
import type { Json, JsonObject } from '../../platform/json.js'
import { failure, runStep } from '../step-context.fake.js'
import { outputAsDescribed } from './described.fake.js'
import { encodings } from './encoding.js'
import { variables } from './variables.js'

describe('var', () => {
  it('puts out its values', async () => {
    const values = JSON.parse('{"a":1,"b":[null,{"c":"x"}],"__proto__":{"polluted":true}}')
    expect(await outputAsDescribed(variables(), { values })).toEqual(values)
    expect(({} as JsonObject).polluted).toBeUndefined()
  })

  it.each<JsonObject>([{}, { values: [1] }, { values: 'x' }])('refuses %j', async (params) => {
    expect((await failure(runStep(variables(), params))).code).toBe('invalid_params')
  })
})

describe('encodings', () => {
  const named = (name: string) => {
    const type = encodings().find((one) => one.name === name)
    if (!type) throw new Error(`no ${name}`)
    return type
  }
  const result = async (name: string, params: JsonObject) => {
    const { result } = (await outputAsDescribed(named(name), params)) as { result: string }
    return result
  }

  it.each<[string, JsonObject, string]>([
    ['base64-encode', { input: 'Hello' }, 'SGVsbG8='],
    ['base64-encode', { input: 'päß☃' }, 'cMOkw5/imIM='],
    ['base64-encode', { input: 'päß☃', urlSafe: true }, 'cMOkw5_imIM'],
    ['base64-encode', { input: { a: 1 } }, 'eyJhIjoxfQ=='],
    ['base64-encode', { input: '' }, ''],
    ['base64-decode', { input: 'SGVsbG8=' }, 'Hello'],
    ['base64-decode', { input: ' SGVs\nbG8 ' }, 'Hello'],
    ['base64-decode', { input: 'cMOkw5_imIM' }, 'päß☃'],
    ['base64-decode', { input: '/w==', as: 'hex' }, 'ff'],
    ['url-encode', { input: 'a b&c/ü+!*' }, 'a%20b%26c%2F%C3%BC%2B%21%2A'],
    ['url-encode', { input: { q: 'a b', page: 2, tag: ['x', 'y='] } }, 'q=a%20b&page=2&tag=x&tag=y%3D'],
    ['url-encode', { input: '\ud800' }, '%EF%BF%BD'],
    ['url-encode', { input: 'x\r\nSet-Cookie: a' }, 'x%0D%0ASet-Cookie%3A%20a'],
    ['url-decode', { input: 'a+b%26c%2Bd' }, 'a b&c+d'],
    ['url-decode', { input: '%C3%BC' }, 'ü'],
  ])('%s of %j is %j', async (name, params, expected) => {
    expect(await result(name, params)).toBe(expected)
  })

  it.each<[string, Json]>([
    ['base64-decode', 'no base64!'],
    ['base64-decode', 'A'],
    ['base64-decode', 'QQ==QQ=='],
    ['base64-decode', '/w=='],
    ['url-decode', '%zz'],
    ['url-decode', '%ff'],
  ])('%s refuses %j', async (name, input) => {
    expect(await failure(result(name, { input }))).toMatchObject({ code: 'unreadable', retryable: false })
  })

  it('read again what they wrote', async () => {
    for (const text of ['', 'a', 'ab', 'abc', '%+ /=-_~\u{1f600}\0']) {
      expect(
        await result('base64-decode', { input: await result('base64-encode', { input: text, urlSafe: true }) }),
      ).toBe(text)
      expect(await result('url-decode', { input: await result('url-encode', { input: text }) })).toBe(text)
    }
  })
})
