import { describe, expect, test } from 'vitest'
import { processorTime } from '../../../test/support/processor-time.js'
import { ExpressionSyntaxError, findExpressions } from './scan.js'

const codes = (text: string) => findExpressions(text).map(({ code }) => code)

describe('findExpressions', () => {
  test.each([
    ['no expression, $ {not} {this} $', []],
    ['${a}', ['a']],
    ['x ${ a } y${b}z', [' a ', 'b']],
    ['${}', ['']],
    ['${ {a: {b: 1}} }', [' {a: {b: 1}} ']],
    ['${ "}" + \'}\' + "\\"}" }', [' "}" + \'}\' + "\\"}" ']],
    ['${ `a ${ `b ${c}` } }` }', [' `a ${ `b ${c}` } }` ']],
    ['${ `\\`}` }', [' `\\`}` ']],
    ['${ a /* } */ }', [' a /* } */ ']],
    ['${ a // }\n }', [' a // }\n ']],
    ['${ s.replace(/[}/"]/g, "") }', [' s.replace(/[}/"]/g, "") ']],
    ['${ s.split(/\\/}/) }', [' s.split(/\\/}/) ']],
    ['${ (() => { return /}/ })() }', [' (() => { return /}/ })() ']],
    ['${ a / 2 } and ${ b / 3 }', [' a / 2 ', ' b / 3 ']],
    ['${ [1].length / 2 / (4) / 1 }', [' [1].length / 2 / (4) / 1 ']],
    ['$${a}', ['a']],
    ['\\${a}', []],
    ['\\\\${a}', ['a']],
    ['${a}${b}', ['a', 'b']],
    ['{ "query": "${q}" }', ['q']],
  ])('%j', (text, expected) => {
    expect(codes(text)).toEqual(expected)
  })

  test('tells where each one stands', () => {
    const text = 'a ${ b } c'
    const [found] = findExpressions(text)
    expect(text.slice(found?.start, found?.end)).toBe('${ b }')
  })

  test.each([
    ['${', 0],
    ['abc ${ {} ', 4],
    ['${a} ${ "} ', 5],
    ['${ `${a} `', 0],
    ['${ a // }', 0],
    ['${ a /* }', 0],
  ])('an unclosed one is an error with its place: %j', (text, offset) => {
    try {
      findExpressions(text)
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(ExpressionSyntaxError)
      expect(error).toMatchObject({ offset, message: "a '${' without its closing '}'" })
    }
  })

  test.each(['=/[', '`${', '{', '/*', '//', '"', '\\', '${', '=/ ', "'\\"])(
    'a megabyte of %j takes linear time',
    (piece) => {
      const text = `\${${piece.repeat(1_000_000 / piece.length)}`
      const spent = processorTime()
      expect(() => findExpressions(text)).toThrow(ExpressionSyntaxError)
      expect(spent()).toBeLessThan(2_000)
    },
  )
})
