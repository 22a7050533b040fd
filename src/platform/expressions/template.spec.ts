import { describe, expect, test } from 'vitest'
import type { Json } from '../json.js'
import { openSandbox } from '../sandbox/sandbox.fake.js'
import { ExpressionSyntaxError } from './scan.js'
import { compileTemplate } from './template.js'

const { evaluate } = openSandbox()

const scope = {
  input: { user_id: 7, name: 'Ada', list: [1, 2], none: null, flag: false, object: { a: 1 } },
  secrets: { KEY: 'k-1' },
  shared: {},
}

async function rendered(value: Json): Promise<Json> {
  const { scripts, render } = compileTemplate(value)
  return render((await evaluate({ scripts, scope })).values)
}

describe('a text that is one expression keeps its type', () => {
  test.each<[string, Json]>([
    ['${input.user_id}', 7],
    ['${input.list}', [1, 2]],
    ['${input.none}', null],
    ['${input.missing}', null],
    ['${input.flag}', false],
    ['${ {a: input.user_id} }', { a: 7 }],
    ['${`user ${input.name}`}', 'user Ada'],
  ])('%s', async (text, value) => {
    expect(await rendered(text)).toEqual(value)
  })
})

describe('inside other text values become text', () => {
  test.each([
    ['Bearer ${secrets.KEY}', 'Bearer k-1'],
    ['/users/${input.user_id}?flag=${input.flag}', '/users/7?flag=false'],
    ['[${input.none}${input.missing}]', '[]'],
    ['${input.list} ${input.object}', '[1,2] {"a":1}'],
    ['${input.name}\n', 'Ada\n'],
    [' ${input.user_id}', ' 7'],
    ['costs $${input.user_id}', 'costs $7'],
    ['\\${input.user_id}', '${input.user_id}'],
    ['a \\${b} ${input.user_id} \\${c', 'a ${b} 7 ${c'],
    ['C:\\\\${input.name}', 'C:\\Ada'],
    ['back\\slash', 'back\\slash'],
  ])('%j', async (text, value) => {
    expect(await rendered(text)).toBe(value)
  })
})

test('expressions are found at any depth and in keys', async () => {
  const params = {
    url: 'http://x/${input.user_id}',
    'x-${input.name}': { deep: ['${input.list}', { '${input.name}': 1 }, 5, null, true] },
    plain: 'text',
  }
  expect(await rendered(params)).toEqual({
    url: 'http://x/7',
    'x-Ada': { deep: [[1, 2], { Ada: 1 }, 5, null, true] },
    plain: 'text',
  })
})

test('keys named __proto__ stay data', async () => {
  const result = (await rendered(JSON.parse('{"__proto__": {"polluted": "${1}"}}'))) as object
  expect(Object.keys(result)).toEqual(['__proto__'])
  expect((result as Record<string, unknown>).polluted).toBeUndefined()
})

test('a template is compiled once per object and renders fresh objects', () => {
  const params = { a: { b: ['${x}'] }, c: { d: 1 } }
  const template = compileTemplate(params)
  expect(compileTemplate(params)).toBe(template)
  const first = template.render([1])
  expect(first).toEqual({ a: { b: [1] }, c: { d: 1 } })
  expect(template.render([2])).toEqual({ a: { b: [2] }, c: { d: 1 } })
  expect(template.render([1]).c).not.toBe(first.c)
})

test('what needs no sandbox is answered at once', () => {
  const { scripts, local } = compileTemplate(['${input.name}', '${input.name.toUpperCase()}', 'a ${input.list[1]}'])
  expect(scripts.map((_, index) => local(index, scope))).toEqual([{ value: 'Ada' }, undefined, { value: 2 }])
})

test('an unclosed expression is told with a pointer and a place', () => {
  const fault = (value: Json) => {
    try {
      compileTemplate(value)
    } catch (error) {
      if (error instanceof ExpressionSyntaxError) return { pointer: error.pointer, offset: error.offset }
    }
    return undefined
  }
  expect(fault({ a: [{ 'b/c~': 'x ${y' }] })).toEqual({ pointer: '/a/0/b~1c~0', offset: 2 })
  expect(fault({ '${key': 1 })).toEqual({ pointer: '/${key', offset: 0 })
  expect(fault('${')).toEqual({ pointer: '', offset: 0 })
})
