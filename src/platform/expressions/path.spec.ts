import { describe, expect, test } from 'vitest'
import type { Json } from '../json.js'
import type { ScriptError } from '../sandbox/evaluation.js'
import { openSandbox } from '../sandbox/sandbox.fake.js'
import { evaluatePath } from './path.js'

const { evaluate } = openSandbox()

const scope: Record<string, Json> = {
  input: {
    items: [{ name: 'first', tags: ['a', 'b'] }, null],
    name: 'Ada',
    none: null,
    yes: true,
    number: 12.5,
    text: 'häßlich 😀',
    'a b': { id: 1 },
    nested: { input: { body: { topic: 'x' } } },
    length: 'own length',
    hasOwnProperty: 'own',
    class: 'word',
    ...JSON.parse('{"__proto__": {"x": 1}}'),
  },
  shared: {
    name: 'shared',
    only: { here: 1 },
    input: { topic: 'earlier' },
    JSON: 1,
    toString: 2,
    undefined: 3,
    this: 4,
    item: 'shared item',
    naïve: 5,
  },
  results: { 'a b': { body: { id: 3 } }, fetch: { body: [10, 20], status: 200 }, gone: null },
  list: [[1, 2], [3]],
  secrets: { API_KEY: 'k-1' },
  execution: { id: 'run_1', flow_id: 'flow_1', zero: -0 },
  error: null,
  index: 0,
  item: { id: 'own item' },
}

async function inSandbox(code: string): Promise<unknown> {
  return evaluate({ scripts: [{ code, form: 'expression' }], scope }).then(({ values }) => ({ value: values[0] }), told)
}

function inProcess(code: string): unknown {
  try {
    return evaluatePath(code, scope)
  } catch (error) {
    return told(error)
  }
}

function told(error: unknown): unknown {
  const { name, message, code } = error as ScriptError
  return { name, message, code }
}

const answered = [
  'input.items[0].name',
  'input.items[0].tags[1]',
  'input.items[1]',
  'input.items[2]',
  'input.items.length',
  'input.items[0].tags.length',
  'input',
  'input.name',
  'input.none',
  'execution.zero',
  'input.yes',
  'input.number',
  'input.text.length',
  'input["a b"].id',
  "input['a b']['id']",
  'input.length',
  'input.hasOwnProperty',
  'input.class',
  'input.only.here',
  'input.missing',
  'input.missing?.x.y.z',
  'input.none?.x',
  'input?.name',
  'input?.["name"]',
  'input.items?.[0].name',
  'input.nested.input.body.topic',
  'input.input.topic',
  'input.__proto__',
  'input.__proto__.x',
  'results["a b"].body.id',
  'results.fetch.body[1]',
  'results.fetch.body[0]',
  'results.gone',
  'results.unknown',
  'list[0][1]',
  'list[1][1]',
  'list[9]',
  'shared.name',
  'shared',
  'shared.only',
  'shared.JSON',
  'only.here',
  'only',
  'name',
  'item.id',
  'index',
  'error',
  'execution.id',
  'secrets.API_KEY',
  'secrets',
  ' input . name ',
  'input.items [ 0 ] . name',
  '  index',
  'true',
  'false',
  'null',
  'undefined',
  '0',
  '42',
  '3.25',
  '"text"',
  "'text'",
  '""',
  '"it\'s"',
]
const failing = [
  'input.none.x',
  'input.missing.x',
  'input.items[1].name',
  'input.items[5].name',
  'error.message',
  'results.unknown.body',
  'results.gone.body.x',
  'input.items[1]?.name.x ',
  'secrets.OTHER',
  'secrets["a b"]',
  'secrets.OTHER?.x',
  'input.missing.length',
]
const leftToTheSandbox = [
  'input.items[5][0]',
  'input.none["a b"]',
  'nowhere',
  'nowhere.x',
  'input.name.toUpperCase()',
  'input.toString',
  'input.constructor',
  'input.name[0]',
  'input.number.x',
  'input.items.map',
  'input.items.at',
  'input.items["0"]',
  'input.items.missing',
  'input[0]x',
  'input..name',
  'input.',
  'input[name]',
  'JSON',
  'this',
  'class',
  'new',
  'input.1',
  '01',
  '1e3',
  '-1',
  '1 + 1',
  '"a\\n"',
  '`x`',
  '"a" + "b"',
  '{}',
  '[]',
  '',
  'naïve',
  'globalThis.input',
  'input\n.name',
  'await',
  'undefined.x',
  'secrets.toJSON',
  'toString',
  'Object.keys',
]

describe('a path is answered in process exactly as in the sandbox', () => {
  test.each(answered.map((code) => [code]))('%s', async (code) => {
    const here = inProcess(code)
    expect(here).toHaveProperty('value')
    expect(here).toEqual(await inSandbox(code))
  })
})

describe('it fails in process exactly as in the sandbox', () => {
  test.each(failing.map((code) => [code]))('%s', async (code) => {
    const here = inProcess(code)
    if (here === undefined) throw new Error('left to the sandbox')
    expect(here).toEqual(await inSandbox(code))
  })
})

describe('anything else is left to the sandbox', () => {
  test.each(leftToTheSandbox.map((code) => [code]))('%j', (code) => {
    expect(inProcess(code)).toBeUndefined()
  })
})

test('random paths give the same here and there', async () => {
  const names = [
    'input',
    'results',
    'items',
    'name',
    'none',
    'fetch',
    'body',
    'length',
    'only',
    'here',
    'shared',
    'list',
    'a b',
    'secrets',
    'API_KEY',
    'item',
    'id',
  ]
  let seed = 7
  const random = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  const step = () => {
    const name = names[random(names.length)] as string
    const ways = [`["${name}"]`, `?.["${name}"]`, `[${random(3)}]`, `?.[${random(3)}]`]
    if (!name.includes(' ')) ways.push(`.${name}`, `.${name}`, `?.${name}`)
    return ways[random(ways.length)]
  }
  let compared = 0
  for (let round = 0; round < 2_000; round++) {
    const root = ['input', 'results', 'shared', 'list', 'item', 'only', 'name'][random(7)] as string
    const code = root + Array.from({ length: random(4) }, step).join('')
    const here = inProcess(code)
    if (here === undefined) continue
    compared++
    expect([code, here]).toEqual([code, await inSandbox(code)])
  }
  expect(compared).toBeGreaterThan(800)
})
