import { describe, expect, test } from 'vitest'
import { processorTime } from '../../../test/support/processor-time.js'
import type { Json } from '../json.js'
import { functions } from './go/functions.js'
import { ExpressionError, ExpressionSyntaxError, evaluateTemplate, parseTemplate } from './go-template.js'

const now = new Date('2026-01-31T13:05:09.250Z')
/** Far more than any of these takes, and far less than for ever. */
const PATIENCE_MS = 5_000

function timed<T>(work: () => T): T {
  const spent = processorTime()
  try {
    return work()
  } finally {
    expect(spent()).toBeLessThan(PATIENCE_MS)
  }
}

function outcome(text: string, dot: Json = null): { value: Json } | { error: string } {
  try {
    return { value: timed(() => evaluateTemplate(text, { dot, now })) }
  } catch (error) {
    if (error instanceof ExpressionError || error instanceof ExpressionSyntaxError) return { error: error.message }
    throw error
  }
}

describe('nothing but what an object holds itself is reached', () => {
  const names = Object.getOwnPropertyNames(Object.prototype)
  const values: Json[] = [{}, { a: 1 }, [], 'text', 5, true, null]

  test.each(names)('%s', (name) => {
    for (const value of values) {
      for (const text of [
        `{{ .${name} }}`,
        `{{ index . "${name}" }}`,
        `{{ get . "${name}" }}`,
        `{{ hasKey . "${name}" }}`,
      ]) {
        const result = outcome(text, value)
        expect('error' in result || result.value === null || result.value === false).toBe(true)
      }
      expect(outcome(`{{ ${name} }}`, value)).toHaveProperty('error')
      expect(outcome(`{{ $${name} }}`, value)).toHaveProperty('error')
    }
  })

  test('texts and lists have no members that code could get at', () => {
    for (const name of ['length', 'constructor', 'slice', 'at', 'then', 'toJSON']) {
      expect(outcome(`{{ .${name} }}`, 'text')).toHaveProperty('error')
      expect(outcome(`{{ .${name} }}`, [1])).toHaveProperty('error')
    }
  })

  test('members of these names are data', () => {
    const dot = JSON.parse('{"__proto__": {"polluted": 1}, "constructor": 2}')
    expect(outcome('{{ .__proto__.polluted }}', dot)).toEqual({ value: 1 })
    expect(outcome('{{ .constructor }}', dot)).toEqual({ value: 2 })
    expect(outcome('{{ .polluted }}', dot)).toEqual({ value: null })
    const made = outcome('{{ set (dict "__proto__" (dict "polluted" 1)) "constructor" 2 }}') as { value: object }
    expect(Object.keys(made.value)).toEqual(['__proto__', 'constructor'])
    expect((made.value as { polluted?: number }).polluted).toBeUndefined()
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
    expect(outcome('{{ (merge (fromJson "{\\"__proto__\\":{\\"x\\":1}}") (dict)).x }}')).toEqual({ value: null })
  })
})

describe('bombs', () => {
  test.each([
    ['loops in loops', '{{ range 100000 }}{{ range 100000 }}x{{ end }}{{ end }}', /it takes too (many steps|long)/],
    ['a loop of nothing', '{{ range 9007199254740991 }}{{ end }}', /it takes too (many steps|long)/],
    [
      'text that doubles',
      '{{ $x := "x" }}{{ range 60 }}{{ $x = print $x $x }}{{ end }}',
      /makes too much text|it takes too long/,
    ],
    [
      'text that is replaced by more',
      '{{ $x := "aaaaaaaa" }}{{ range 60 }}{{ $x = replace "a" "aaaaaaaa" $x }}{{ end }}',
      /makes too much text|it takes too long/,
    ],
    [
      'text between characters',
      '{{ $x := repeat 4000 "a" }}{{ range 20 }}{{ $x = replace "" $x $x }}{{ end }}',
      /makes too much text|it takes too long/,
    ],
    ['repeated text', '{{ repeat 9007199254740991 "abc" }}', /makes too much text|it takes too long/],
    ['wide fields', '{{ range 100000 }}{{ printf "%1000d" 1 }}{{ end }}', /makes too much text|it takes too long/],
    ['lists that double', '{{ $x := list 1 }}{{ range 60 }}{{ $x = list $x $x }}{{ end }}{{ $x }}', /hold too much/],
    [
      'lists that are joined',
      '{{ $x := list 1 }}{{ range 60 }}{{ $x = concat $x $x }}{{ end }}',
      /it takes too (many steps|long)/,
    ],
    ['objects that double', '{{ $x := dict }}{{ range 60 }}{{ $x = dict "a" $x "b" $x }}{{ end }}', /hold too much/],
    ['lists in lists', '{{ $x := list }}{{ range 100000 }}{{ $x = list $x }}{{ end }}', /nested too deeply/],
    [
      'JSON in JSON',
      '{{ $x := "" }}{{ range 60 }}{{ $x = toJson $x }}{{ end }}',
      /makes too much text|it takes too long/,
    ],
    ['a long list', '{{ until 100000000 }}', /it takes too (many steps|long)/],
    ['a long list of lists', '{{ range 10000 }}{{ $x := until 10000 }}{{ end }}', /it takes too (many steps|long)/],
    ['brackets', `{{ fromJson (repeat 100000 "[") }}`, /nested so deeply/],
    [
      'sorting again and again',
      '{{ $x := sortAlpha (until 100000) }}{{ range 100000 }}{{ $x = sortAlpha (reverse $x) }}{{ end }}',
      /takes too|makes too|too long/,
    ],
    [
      'the same one among many',
      '{{ $x := until 20000 }}{{ $y := list }}{{ range $x }}{{ $y = append $y (list .) }}{{ end }}{{ uniq $y }}',
      /it takes too (many steps|long)/,
    ],
    [
      'splitting again and again',
      '{{ $x := repeat 1000000 "a," }}{{ range 1000 }}{{ $y := split "," $x }}{{ end }}',
      /takes too|makes too|too long/,
    ],
    [
      'a greedy pattern',
      '{{ regexMatch "(a+)+(a+)+(a+)+x{900}" (repeat 1000000 "a") }}',
      /takes too|makes too|too long/,
    ],
    [
      'patterns again and again',
      '{{ $x := repeat 50000 "a" }}{{ range 100000 }}{{ $y := regexMatch "(.*)(.*)(.*)x" $x }}{{ end }}',
      /takes too|makes too|too long/,
    ],
    [
      'a replacement that grows',
      '{{ $x := "a" }}{{ range 60 }}{{ $x = regexReplaceAll "a" $x "aaaaaaaaaaaaaaaa" }}{{ end }}',
      /makes too much text|it takes too long/,
    ],
    [
      'dates again and again',
      '{{ range 1000000 }}{{ date (repeat 40 "2006 ") "Asia/Tokyo" now }}{{ end }}',
      /takes too|makes too|too long/,
    ],
    [
      'length again and again',
      '{{ $x := repeat 8000000 "a" }}{{ range 1000000 }}{{ $y := len $x }}{{ end }}',
      /takes too|makes too|too long/,
    ],
  ])('%s', (_, text, message) => {
    const result = outcome(text)
    expect(result).toHaveProperty('error')
    expect((result as { error: string }).error).toMatch(message)
  })

  test('a value that is deep already is refused where it would have to be gone through', () => {
    let deep: Json = 1
    for (let level = 0; level < 100_000; level++) deep = [deep]
    for (const text of ['{{ . }}x', '{{ toJson . }}', '{{ list . }}', '{{ eq . (list .) }}', '{{ eq . $ }}x{{ . }}'])
      expect(outcome(text, deep)).toHaveProperty('error')
    expect(outcome('{{ . }}', deep)).toEqual({ value: deep })
  })

  test.each([
    ['parentheses', `{{ ${'('.repeat(50_000)}1${')'.repeat(50_000)} }}`],
    ['blocks', '{{ if 1 }}'.repeat(50_000)],
    ['else ifs', `{{ if 1 }}${'{{ else if 1 }}'.repeat(50_000)}{{ end }}`],
  ])('%s inside each other', (_, text) => {
    expect(outcome(text)).toMatchObject({ error: expect.stringContaining('inside each other') })
  })

  test('many variables are found as fast as few', () => {
    const declared = Array.from({ length: 40_000 }, (_, at) => `{{$v${at}:=1}}`).join('')
    timed(() => parseTemplate(`{{$a:=1}}${declared}${'{{$a}}'.repeat(40_000)}`))
  })

  test('long texts parse in time in proportion', () => {
    const texts = [
      '{{ 1 }}',
      '{{ "a" }}',
      '{{ $x := 1 }}',
      '{{- /* c */ -}} ',
      '{{ .a.b.c }}',
      '{{ add 1 2 | add 3 }}',
      '{',
      '}} ',
      ' \n',
      '-',
    ]
    for (const text of texts) {
      try {
        timed(() => parseTemplate(text.repeat(20_000)))
      } catch (error) {
        expect(error).toBeInstanceOf(ExpressionSyntaxError)
      }
    }
    for (const text of ['{{ "', '{{ `', '{{ /*', '{{ .a', '{{ ('])
      expect(() => timed(() => parseTemplate(text + 'a '.repeat(500_000)))).toThrow(ExpressionSyntaxError)
  })
})

/** A small generator of numbers, so that a failure can be repeated. */
function dice(seed: number): (sides: number) => number {
  let state = seed
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * sides)
  }
}

const VALUES: Json[] = [
  null,
  true,
  0,
  -1.5,
  1e308,
  9_007_199_254_740_991,
  '',
  'text',
  '12',
  '2026-01-31',
  '__proto__',
  '{"a":[1]}',
  '(a+)+$',
  '\u{1F600}\ud800',
  [],
  [3, 'b', null],
  [[1], { a: 1 }],
  {},
  { a: { b: [1, 2] }, items: [1] },
]

describe('whatever is written, it is a value or a fault of the expression', () => {
  test('every function with every kind of argument', () => {
    const roll = dice(7)
    for (const name of functions.keys()) {
      for (let turn = 0; turn < 60; turn++) {
        const args = Array.from({ length: roll(5) }, () => VALUES[roll(VALUES.length)] as Json)
        const text = `{{ ${name} ${args.map((_, at) => `(index .a ${at})`).join(' ')} }}`
        const result = outcome(text, { a: args })
        if ('value' in result) expect(() => JSON.stringify(result.value)).not.toThrow()
      }
    }
  })

  test('words in any order', () => {
    const roll = dice(11)
    const words = [
      ...[...functions.keys()],
      ...'{{ }} {{- -}} if else end range with break continue := = , | ( ) . $ $x .a .a.b $x.a "t" \'t\' `t` 1 -2 0x1f 1e9 nil true false /* */ x - 5.'.split(
        ' ',
      ),
      ...'{{ }} {{ }} {{ }} ( ) $x := if range end'.split(' '),
    ]
    for (let turn = 0; turn < 4_000; turn++) {
      const text = Array.from({ length: 1 + roll(14) }, () => words[roll(words.length)]).join(roll(4) === 0 ? '' : ' ')
      outcome(`{{ ${text} }}`, { a: { b: [1, 2] } })
      outcome(text, VALUES[roll(VALUES.length)])
    }
  })

  test('templates that parse, made of their grammar', () => {
    const roll = dice(13)
    const pick = <T>(list: readonly T[]) => list[roll(list.length)] as T
    const names = [...functions.keys()].filter((name) => name !== 'fail')
    const operand = (depth: number): string => {
      const kind = roll(depth > 3 ? 4 : 6)
      if (kind === 0) return pick(['1', '2.5', '-3', '"text"', "'a,b'", 'true', 'nil', '`raw`', '"2006-01-02"'])
      if (kind === 1) return pick(['.', '$', '.a', '.a.b', '.missing.x', '.items.0', '$.a'])
      if (kind === 2) return pick(['$i', '$v', '$v.a'])
      if (kind === 3) return 'now'
      return `(${pipe(depth + 1)})`
    }
    const command = (depth: number): string =>
      roll(3) === 0
        ? operand(depth)
        : `${pick(names)} ${Array.from({ length: 1 + roll(3) }, () => operand(depth)).join(' ')}`
    const pipe = (depth: number): string =>
      [command(depth), ...Array.from({ length: roll(3) }, () => `${pick(names)} ${operand(depth)}`)].join(' | ')
    const block = (depth: number): string => {
      const kind = roll(depth > 3 ? 2 : 5)
      if (kind === 0) return 'text '
      if (kind === 1) return `{{ ${pipe(0)} }}`
      const inside = block(depth + 1) + block(depth + 1)
      if (kind === 2) return `{{ if ${pipe(0)} }}${inside}{{ else }}${block(depth + 1)}{{ end }}`
      if (kind === 3) return `{{ with ${pipe(0)} }}${inside}{{ end }}`
      return `{{ range $i, $v := ${pipe(0)} }}${inside}{{ end }}`
    }
    let values = 0
    for (let turn = 0; turn < 400; turn++) {
      const text = `{{ $i := 1 }}{{ $v := . }}${block(0)}${block(0)}`
      expect(() => parseTemplate(text)).not.toThrow()
      if ('value' in outcome(text, { a: { b: [1, 2] }, items: ['x', null, { a: 1 }] })) values++
    }
    // Most meet a value that they cannot work on, but not all.
    expect(values).toBeGreaterThan(10)
  })

  test('any characters at all', () => {
    const roll = dice(17)
    const characters = '{{{{}}}}()|$.:=,"\'`\\-+/* \n\tabif019\0\ud83d\ude00é'
    for (let turn = 0; turn < 8_000; turn++) {
      outcome(Array.from({ length: roll(24) }, () => characters[roll(characters.length)]).join(''), [1])
    }
  })
})
