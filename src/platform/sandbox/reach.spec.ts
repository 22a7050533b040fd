import { describe, expect, test } from 'vitest'
import type { Json } from '../json.js'
import { reachableScope } from './reach.js'

const scope: Record<string, Json> = {
  input: { id: 1, rows: [1, 2] },
  shared: { name: 'x', secretive: 'y', id: 2 },
  results: { fetch: { body: 1 }, other: { body: 2 }, 'a b': 3 },
  secrets: { KEY: 'k', OTHER: 'o' },
  list: [1, 2, 3],
}

function sent(code: string, capture?: string[]) {
  return reachableScope({ scripts: [{ code, form: 'body' }], scope, capture })
}

describe('the sandbox is sent', () => {
  test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['1 + 1', {}, {}],
    ['results.fetch.body', { results: { fetch: { body: 1 } } }, {}],
    ['results?.fetch?.body + results["a b"]', { results: { fetch: { body: 1 }, 'a b': 3 } }, {}],
    ['"Bearer " + secrets.KEY', { secrets: { KEY: 'k' } }, {}],
    ['secrets.MISSING', { secrets: {} }, {}],
    ['name.toUpperCase()', {}, { name: 'x' }],
    ['input.name', { input: {} }, { name: 'x' }],
    ['input["secretive"]', { input: {} }, { secretive: 'y' }],
    ['list.length', { list: [1, 2, 3] }, {}],
  ])('only what %s names', (code, variables, offered) => {
    expect(sent(code)).toEqual({ variables, offered })
  })

  test.each([
    'JSON.stringify(results)',
    'const { fetch } = results',
    'for (const key in results) key',
    'results.hasOwnProperty("fetch")',
    'results[key]',
    'results["fe" + "tch"]',
    '({ ...results })',
    'use(results); results.fetch',
    '`${results}`',
    'results /* comment */ .fetch',
  ])('all members of what is used as a whole: %s', (code) => {
    expect(sent(code).variables.results).toEqual(scope.results)
  })

  test.each([
    'eval("in" + "put")',
    'new Function("return input")()',
    'this.input',
    'globalThis["in" + "put"]',
    'with (x) {}',
    'r\\u0065sults',
  ])('everything to %s', (code) => {
    expect(sent(code)).toEqual({ variables: scope, offered: scope.shared })
  })

  test('all of shared behind an input whose members are computed', () => {
    expect(sent('input["na" + "me"]').offered).toEqual(scope.shared)
  })

  test('captured variables as a whole', () => {
    expect(sent('results.fetch.body = 2', ['results', 'list'])).toEqual({
      variables: { results: scope.results, list: scope.list },
      offered: {},
    })
  })

  test('members named by any of the scripts', () => {
    const scripts = ['secrets.KEY', 'secrets.OTHER'].map((code) => ({ code, form: 'expression' as const }))
    expect(reachableScope({ scripts, scope }).variables).toEqual({ secrets: scope.secrets })
  })
})
