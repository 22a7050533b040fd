import { describe, expect, it } from 'vitest'
import type { Json } from '../json.js'
import { evaluateSimple, parseSimple } from './property-path.js'
import { findExpressions, UnterminatedExpression } from './scan.js'
import { CompiledTemplate } from './template.js'

const codes = (text: string) => findExpressions(text).flatMap((part) => ('code' in part ? [part.code] : []))

describe('finding expressions', () => {
  it.each([
    ['no expression', []],
    ['${a}', ['a']],
    ['x ${a} y ${b.c} z', ['a', 'b.c']],
    ['${ {a: {b: 1}}.a.b }', [' {a: {b: 1}}.a.b ']],
    ['${"}" + \'}\'}', ['"}" + \'}\'']],
    ['${`a${b + `${c}`}}`}', ['`a${b + `${c}`}}`']],
    ['${a /* } */ + b}', ['a /* } */ + b']],
    ['${a // }\n + b}', ['a // }\n + b']],
    ['${x.replace(/}/g, "")}', ['x.replace(/}/g, "")']],
    ['${x.match(/[}/]/)}', ['x.match(/[}/]/)']],
    ['${a / b}/${c / d}', ['a / b', 'c / d']],
    ['${items.map(i => ({ id: i }))}', ['items.map(i => ({ id: i }))']],
    ['$${a} and ${b}', ['b']],
    ['${"\\"}"}', ['"\\"}"']],
  ])('%s', (text, expected) => {
    expect(codes(text)).toEqual(expected)
  })

  it.each([
    ['${', 0],
    ['abc ${a', 4],
    ['${"}', 0],
    ['${`}', 0],
    ['${a} ${ {', 5],
    ['${a /* }', 0],
  ])('%s is unterminated', (text, start) => {
    expect(() => findExpressions(text)).toThrow(UnterminatedExpression)
    expect(() => findExpressions(text)).toThrow(expect.objectContaining({ start }))
  })

  it('is linear on hostile text', () => {
    expect(codes(`\${${'('.repeat(200_000)}}`)[0]).toHaveLength(200_000)
    expect(() => findExpressions('${"'.repeat(100_000))).toThrow(UnterminatedExpression)
  })
})

describe('a template', () => {
  const values: Record<string, Json> = { n: 7, s: 'text', o: { a: [1] }, z: null, t: true }
  const render = (params: Record<string, Json>) => {
    const template = new CompiledTemplate(params)
    return template.render(template.scripts.map(({ code }) => values[code] ?? null))
  }

  it('keeps the type of a text that is one expression', () => {
    expect(render({ a: '${n}', b: '${o}', c: ['${t}', '${z}'] })).toEqual({ a: 7, b: { a: [1] }, c: [true, null] })
  })

  it('turns embedded expressions into text', () => {
    expect(render({ a: 'n=${n} s=${s} o=${o} z=${z} t=${t}' })).toEqual({ a: 'n=7 s=text o={"a":[1]} z= t=true' })
  })

  it('evaluates the names of members', () => {
    expect(render({ 'x-${s}': 1, '${n}': { '${s}': '${n}' } })).toEqual({ 'x-text': 1, 7: { text: 7 } })
  })

  it('leaves an escaped expression and other values as they are', () => {
    expect(render({ a: '$${n}', b: 3, c: false, d: null, e: '$n {s}', f: '' })).toEqual({
      a: '${n}',
      b: 3,
      c: false,
      d: null,
      e: '$n {s}',
      f: '',
    })
  })

  it('takes __proto__ as a name', () => {
    const rendered = render(JSON.parse('{"__proto__": {"polluted": "${n}"}}'))
    expect(Object.keys(rendered)).toEqual(['__proto__'])
    expect(Object.getPrototypeOf(rendered)).toBe(Object.prototype)
  })
})

describe('simple code', () => {
  const variables: Record<string, Json> = {
    input: { items: [{ id: 1, 'a b': 'x' }], text: 'abc', nothing: null },
    'odd-name': 1,
  }
  const value = (code: string) => {
    const simple = parseSimple(code)
    return simple && evaluateSimple(simple, variables)?.value
  }

  it.each([
    ['input.items[0].id', 1],
    [' input.items[0]["a b"] ', 'x'],
    ["input['text']", 'abc'],
    ['input.text.length', 3],
    ['input.items.length', 1],
    ['input.nothing', null],
    ['42', 42],
    ['-1.5', -1.5],
    ['"a\\nb"', 'a\nb'],
    ["'q'", 'q'],
    ['true', true],
    ['null', null],
  ])('%s is answered', (code, expected) => {
    expect(value(code)).toEqual(expected)
  })

  it.each([
    'input.missing',
    'input.nothing.x',
    'unknown',
    'input.text.toUpperCase',
    'input.toString',
    'input.items[5]',
    'input.items.map',
    'input.__proto__',
    'constructor',
    'a + b',
    'input.items[i]',
    'input?.items',
    'f()',
    'input.',
    '',
    '1n',
    '0x10',
    'input.text[0]',
  ])('%s is left to the sandbox', (code) => {
    expect(value(code)).toBeUndefined()
  })
})
