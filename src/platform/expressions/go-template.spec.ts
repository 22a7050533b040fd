import { describe, expect, test } from 'vitest'
import type { Json } from '../json.js'
import {
  ExpressionError,
  ExpressionSyntaxError,
  evaluateTemplate,
  parseTemplate,
  renderTemplate,
} from './go-template.js'

const now = new Date('2026-01-31T13:05:09.250Z')
const dot: Json = {
  name: 'Ada',
  amount: 120.5,
  count: 3,
  none: null,
  flag: false,
  tags: ['b', 'a', 'b'],
  list: [3, 1, 2],
  items: [{ id: 1, name: 'one' }, { id: 2 }],
  object: { z: 1, a: { deep: [true, { x: 'y' }] } },
  'my-key': 7,
}
const value = (text: string) => evaluateTemplate(text, { dot, now, variables: { item: { a: [1, 2] }, index: 4 } })

describe('a text that is one expression keeps its type', () => {
  test.each<[string, Json]>([
    ['{{ .count }}', 3],
    ['{{.count}}', 3],
    ['{{- .count -}}', 3],
    ['{{ .none }}', null],
    ['{{ .flag }}', false],
    ['{{ .list }}', [3, 1, 2]],
    ['{{ .object.a.deep }}', [true, { x: 'y' }]],
    ['{{ .items.1.id }}', 2],
    ['{{ .missing }}', null],
    ['{{ .missing.deeper.still }}', null],
    ['{{ .none.x }}', null],
    ['{{ .my-key }}', 7],
    ['{{ . }}', dot],
    ['{{ $ }}', dot],
    ['{{ $.name }}', 'Ada'],
    ['{{ $item.a.0 }}', 1],
    ['{{ $index }}', 4],
    ['{{ (index .items 0).name }}', 'one'],
    ['{{ "a\\tb\\u00e9\\x41" }}', 'a\tbéA'],
    ["{{ 'single \"quoted\" it\\'s' }}", 'single "quoted" it\'s'],
    ['{{ `raw \\n` }}', 'raw \\n'],
    ['{{ -1.5e2 }}', -150],
    ['{{ 0x1F }}', 31],
    ['{{ true }}', true],
    ['{{ nil }}', null],
    ['{{ ((.count)) }}', 3],
    ['plain', 'plain'],
    ['', ''],
    ['{ {.count} }', '{ {.count} }'],
  ])('%s', (text, expected) => {
    expect(value(text)).toEqual(expected)
  })
})

describe('inside other text values become text', () => {
  test.each([
    ['Dear {{ .name }}, {{ .amount }}', 'Dear Ada, 120.5'],
    ['[{{ .none }}{{ .missing }}]', '[]'],
    ['{{ .list }} {{ .object }}', '[3,1,2] {"z":1,"a":{"deep":[true,{"x":"y"}]}}'],
    [' {{ .count }}', ' 3'],
    ['a {{- .count -}} b', 'a3b'],
    ['a \n {{- /* said aside */ -}} \n b', 'ab'],
    ['a{{/* said aside */}}b', 'ab'],
    ['{{ "{{" }}x{{ "}}" }}', '{{x}}'],
    ['{{ .flag }}/{{ true }}', 'false/true'],
  ])('%j', (text, expected) => {
    expect(value(text)).toBe(expected)
  })

  test('and so they do where a text is asked for', () => {
    expect(renderTemplate('{{ .count }}', { dot })).toBe('3')
  })
})

describe('blocks', () => {
  test.each([
    ['{{ if .flag }}yes{{ end }}', ''],
    ['{{ if .name }}yes{{ else }}no{{ end }}', 'yes'],
    ['{{ if .flag }}a{{ else if .none }}b{{ else if eq .count 3 }}c{{ else }}d{{ end }}', 'c'],
    ['{{ if .flag }}a{{ else if .none }}b{{ else }}d{{ end }}', 'd'],
    ['{{ with .object }}{{ .z }}{{ $.name }}{{ end }}', '1Ada'],
    ['{{ with .none }}x{{ else }}{{ .name }}{{ end }}', 'Ada'],
    ['{{ with .none }}x{{ else with .count }}{{ . }}{{ end }}', '3'],
    ['{{ with $x := .count }}{{ $x }}{{ . }}{{ end }}', '33'],
    ['{{ range .list }}<{{ . }}>{{ end }}', '<3><1><2>'],
    ['{{ range $i, $v := .tags }}{{ $i }}={{ $v }} {{ end }}', '0=b 1=a 2=b '],
    ['{{ range $v := .tags }}{{ $v }}{{ end }}', 'bab'],
    ['{{ range $k, $v := .object }}{{ $k }},{{ end }}', 'a,z,'],
    ['{{ range 3 }}{{ . }}{{ end }}', '012'],
    ['{{ range .none }}x{{ else }}empty{{ end }}', 'empty'],
    ['{{ range .list }}{{ if eq . 1 }}{{ continue }}{{ end }}{{ . }}{{ end }}', '32'],
    ['{{ range .list }}{{ if eq . 2 }}{{ break }}{{ end }}{{ . }}{{ end }}', '31'],
    ['{{ range .items }}{{ range $.tags }}{{ . }}{{ end }}{{ .id }}{{ end }}', 'bab1bab2'],
    ['{{ $x := 1 }}{{ range .list }}{{ $x = add $x . }}{{ end }}{{ $x }}', '7'],
    ['{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}', '21'],
    ['{{ $item := 5 }}{{ $item }}', '5'],
  ])('%s', (text, expected) => {
    expect(value(text)).toBe(expected)
  })
})

describe('functions', () => {
  test.each<[string, Json]>([
    ['eq .count 3', true],
    ['eq .count 1 2 3', true],
    ['eq .count "3"', false],
    ['eq .list (list 3 1 2)', true],
    ['eq .object (fromJson (toJson .object))', true],
    ['ne .name "Ada"', false],
    ['lt 1 2', true],
    ['le 2 2', true],
    ['gt .amount 100', true],
    ['ge "b" "a"', true],
    ['and .name .count', 3],
    ['and .flag (fail "not reached")', false],
    ['or .none .flag "last"', 'last'],
    ['or .name (fail "not reached")', 'Ada'],
    ['not .flag', true],
    ['.missing.x | default "d"', 'd'],
    ['default "d" .name', 'Ada'],
    ['coalesce .none "" 0 "x" "y"', 'x'],
    ['coalesce .none ""', null],
    ['ternary "yes" "no" .flag', 'no'],
    ['.name | eq "Ada" | ternary 1 2', 1],
    ['empty (list)', true],
    ['kindOf .list', 'list'],

    ['add 1 2 3', 6],
    ['sub 10 4 1', 5],
    ['mul 2 3 4', 24],
    ['div 7 2', 3.5],
    ['int (div 7 2)', 3],
    ['mod 7 3', 1],
    ['mod -7 3', -1],
    ['.count | add 2 | mul 2', 10],
    ['max 1 5 3', 5],
    ['min 1 5 3', 1],
    ['abs -4', 4],
    ['floor 1.9', 1],
    ['ceil 1.1', 2],
    ['round 2.345 2', 2.35],
    ['round -1.5', -2],
    ['round 1.005 2', 1.01],
    ['sum .list', 6],
    ['int "42"', 42],
    ['int 3.9', 3],
    ['int -0.5', 0],
    ['float "1.5"', 1.5],
    ['toBool "true"', true],

    ['upper .name', 'ADA'],
    ['lower .name', 'ada'],
    ['title "the old man\'s sea"', "The Old Man's Sea"],
    ['trim "  x "', 'x'],
    ['trimAll "$" "$5$"', '5'],
    ['trimPrefix "a" "abc"', 'bc'],
    ['trimSuffix "c" "abc"', 'ab'],
    ['trimSuffix "" "abc"', 'abc'],
    ['split "," "a,b,c"', ['a', 'b', 'c']],
    ['"a,b" | split "," | join "-"', 'a-b'],
    ['join ", " .list', '3, 1, 2'],
    ['replace "a" "$&" "banana"', 'b$&n$&n$&'],
    ['contains "an" "banana"', true],
    ['contains 1 .list', true],
    ['contains "z" .object', true],
    ['hasPrefix "ba" "banana"', true],
    ['hasSuffix "ba" "banana"', false],
    ['substr 1 3 "banana"', 'an'],
    ['substr 1 -1 "naïve😀"', 'aïve😀'],
    ['trunc 2 "😀😀😀"', '😀😀'],
    ['trunc -2 "abc"', 'bc'],
    ['repeat 3 "ab"', 'ababab'],
    ['nindent 2 "a\\nb"', '\n  a\n  b'],
    ['print "a" 1 .none true', 'a1true'],
    ['println "a" 1', 'a 1\n'],
    [
      'printf "%s has %d (%.2f) %q %5d|%-5s|%05d %t %v %x%%" .name .count .amount "q" 7 "l" 42 true .list 255',
      'Ada has 3 (120.50) "q"     7|l    |00042 true [3,1,2] ff%',
    ],
    ['printf "%+d %e %c %U %08.3f" 5 12345.678 233 233 -3.14159', '+5 1.234568e+04 é U+00E9 -003.142'],
    ['html "<a href=\\"x\\">&\'"', '&lt;a href=&#34;x&#34;&gt;&amp;&#39;'],
    ['js "it\'s <b>"', "it\\'s \\u003Cb\\u003E"],
    ['urlquery "hello world & more"', 'hello+world+%26+more'],
    ['b64enc "Hello World"', 'SGVsbG8gV29ybGQ='],
    ['b64dec "SGVsbG8gV29ybGQ="', 'Hello World'],
    ['quote 5', '"5"'],
    ['regexMatch "^a+$" "aaa"', true],
    ['regexFindAll "[0-9]+" "a1b22"', ['1', '22']],
    ['regexReplaceAll "(\\\\w+)@x" "me@x" "$1@y"', 'me@y'],
    ['toString 5', '5'],

    ['len .name', 3],
    ['len "😀"', 1],
    ['len .list', 3],
    ['len .object', 2],
    ['len .none', 0],
    ['index .list 1', 1],
    ['index .object "a" "deep" 0', true],
    ['index .object "nope"', null],
    ['slice .list 1 3', [1, 2]],
    ['slice "banana" 1 3', 'an'],
    ['first .list', 3],
    ['last .list', 2],
    ['first (list)', null],
    ['rest .list', [1, 2]],
    ['initial .list', [3, 1]],
    ['append .list 4', [3, 1, 2, 4]],
    ['prepend .list 4', [4, 3, 1, 2]],
    ['concat .list .tags', [3, 1, 2, 'b', 'a', 'b']],
    ['reverse .list', [2, 1, 3]],
    ['uniq .tags', ['b', 'a']],
    ['uniq (list .list .list)', [[3, 1, 2]]],
    ['has "a" .tags', true],
    ['sortAlpha .tags', ['a', 'b', 'b']],
    ['until 3', [0, 1, 2]],
    ['seq 2 4', [2, 3, 4]],
    ['pluck "name" .items', ['one', null]],
    ['dict "a" 1 "b" (list)', { a: 1, b: [] }],
    ['keys .object', ['a', 'z']],
    ['values (dict "b" 2 "a" 1)', [1, 2]],
    ['hasKey .object "z"', true],
    ['get .object "z"', 1],
    ['set (dict "a" 1) "b" 2', { a: 1, b: 2 }],
    ['unset (dict "a" 1 "b" 2) "a"', { b: 2 }],
    ['pick (dict "a" 1 "b" 2) "a"', { a: 1 }],
    ['omit (dict "a" 1 "b" 2) "a"', { b: 2 }],
    ['merge (dict "a" 1) (dict "a" 2 "b" 2)', { a: 1, b: 2 }],
    ['toJson .list', '[3,1,2]'],
    ['fromJson "{\\"a\\":[1]}"', { a: [1] }],
    ['(fromJson "{\\"a\\":{\\"b\\":1}}").a.b', 1],

    ['now', '2026-01-31T13:05:09.250Z'],
    ['date "2006-01-02" now', '2026-01-31'],
    ['now | date "Mon Jan _2 3:04PM 2006 (002)"', 'Sat Jan 31 1:05PM 2026 (031)'],
    ['date "02.01.06 15:04:05.000 Z07:00"  now', '31.01.26 13:05:09.250 Z'],
    ['date "15:04 MST -0700" "America/New_York" now', '08:05 EST -0500'],
    ['dateInZone "RFC3339" now "Asia/Kolkata"', '2026-01-31T18:35:09+05:30'],
    ['date "2006-01-02" 0', '1970-01-01'],
    ['dateModify "-1h30m" now', '2026-01-31T11:35:09.250Z'],
    ['addDate 0 0 1 "2026-01-31"', '2026-02-01T00:00:00.000Z'],
    ['toDate "02/01/2006 3:04PM" "31/12/2025 11:30PM"', '2025-12-31T23:30:00.000Z'],
    ['toDate "RFC1123Z" "Mon, 02 Jan 2006 15:04:05 -0700"', '2006-01-02T22:04:05.000Z'],
    ['unixEpoch "2026-01-31 13:05:09"', 1769864709],
    ['secondsBetween "2026-01-01" "2026-01-02"', 86400],
  ])('%s', (code, expected) => {
    expect(value(`{{ ${code} }}`)).toEqual(expected)
  })
})

describe('faults of the text are told with their place', () => {
  test.each([
    ['a {{ .x', "a '{{' without its closing '}}'", 2],
    ['{{ }}', 'an expression is missing', 0],
    ['{{ .x | }}', 'an expression is missing', 7],
    ['{{ foo .x }}', "there is no function 'foo'", 3],
    ['{{ item.name }}', "there is no function 'item' (a member of the current value is .item)", 3],
    ['{{ .a eq 3 }}', "what comes before '3' is no function, and takes nothing behind it", 9],
    ['{{ .a == 3 }}', "'=' is not expected here", 6],
    ['{{ if .x }}y', "'if' without its 'end'", 0],
    ['x{{ end }}', "'end' without a block that it belongs to", 1],
    ['{{ else }}', "'else' without a block that it belongs to", 0],
    ['{{ if .x }}{{ else }}{{ else }}{{ end }}', "a second 'else'", 21],
    ['{{ break }}', "'break' outside a range", 0],
    ['{{ (.x }}', "a '(' without its closing ')'", 3],
    ['{{ .x) }}', "')' is not expected here", 5],
    ['{{ "abc }}', 'a text without its closing "', 3],
    ['{{ "\\q" }}', "'\\q' is no escape", 4],
    ['{{ /* x }}', "a comment without its closing '*/'", 3],
    ['{{ define "x" }}', "'define' is not supported", 0],
    ['{{ $x = 1 }}', "'$x' is not declared: write $x := …", 3],
    ['{{ if $x := 1 }}{{ end }}{{ $x = 2 }}', "'$x' is not declared: write $x := …", 28],
    ['{{ .x & 1 }}', "'&' means nothing in an expression", 6],
    ['{{ 5.x }}', "'5' means nothing in an expression", 3],
    ['{{ 1e999 }}', "'1e999' is too large a number", 3],
    ['{{ $a, $b := 1 }}', "only 'range' has two variables", 3],
  ])('%s', (text, message, offset) => {
    const parse = () => parseTemplate(text)
    expect(parse).toThrow(ExpressionSyntaxError)
    try {
      parse()
    } catch (error) {
      expect(error).toMatchObject({ message: expect.stringContaining(message), offset })
    }
  })

  test('where the host says which variables and functions there are', () => {
    const host = { variables: new Set(['$prev']), functions: new Set(['$kv.get']), dot: false }
    const fault = (text: string) => {
      try {
        parseTemplate(text, host)
      } catch (error) {
        return (error as Error).message
      }
      return undefined
    }
    expect(fault('{{ $prev.a.b }} {{ $kv.get "k" }} {{ range $prev.a }}{{ . }}{{ end }}')).toBeUndefined()
    expect(fault('{{ $nope }}')).toBe("there is no variable '$nope'")
    expect(fault('{{ $kv.set 1 }}')).toBe("there is no function '$kv.set' (known: $kv.get)")
    expect(fault('{{ $kv.get.x }}')).toContain('put its call in parentheses')
    expect(fault('{{ .x }}')).toContain("'.' means nothing here")
    expect(fault('{{ range $prev.a }}{{ $ }}{{ end }}')).toContain("'$' means nothing here")
    expect(fault('{{ $prev := 1 }}')).toBe("'$prev' has a meaning already")
  })
})

describe('faults of the values name the expression and never a value', () => {
  const secret = 'hunter2-hunter2'
  test.each([
    ['{{ add .secret 1 }}', 'add takes a number, not a text (convert it with int or float)'],
    ['{{ upper .list }}', 'upper takes a text, not a list'],
    ['{{ .secret.x }}', "there is no member 'x' in a text"],
    ['{{ .list.x }}', "there is no member 'x' in a list (use index, first or range)"],
    ['{{ lt .secret 1 }}', 'lt compares two numbers or two texts, not a text and a number'],
    ['{{ index .list 9 }}', 'index 9 is outside a list of 1'],
    ['{{ div 1 0 }}', 'div by zero'],
    ['{{ fromJson .secret }}', 'fromJson takes JSON, and this text is none'],
    ['{{ int .secret }}', 'int takes a number, and this text is none'],
    ['{{ date "2006" .secret }}', 'date takes a time such as 2026-01-31T12:00:00Z, and this text is none'],
    ['{{ toDate .secret .secret }}', undefined],
    ['{{ date "2006" .secret now }}', 'there is no such time zone'],
    ['{{ upper }}', 'upper takes 1 argument, not 0'],
    ['{{ substr 1 "x" }}', 'substr takes 3 arguments, not 2'],
    ['{{ range .secret }}{{ end }}', 'range takes a list, an object or a whole number, not a text'],
    ['{{ .secret | .list }}', 'a value can be piped into a function only'],
    ['{{ printf "%d" .secret }}', 'printf takes a number for %d, not a text'],
    ['{{ printf "%d" }}', 'printf has fewer values than its format asks for'],
    ['{{ $nope }}', "there is no variable '$nope'"],
    ['{{ dict .list 1 }}', 'dict takes a text, not a list'],
    ['{{ mul 1e308 10 }}', 'the result of mul is no number'],
    ['{{ regexMatch "(?=x)" .secret }}', 'the pattern is not a regular expression'],
  ])('%s', (text, message) => {
    let thrown: unknown
    try {
      evaluateTemplate(text, { dot: { secret, list: [1] }, now })
    } catch (error) {
      thrown = error
    }
    if (message === undefined) return
    expect(thrown).toBeInstanceOf(ExpressionError)
    const error = thrown as ExpressionError
    expect(error.message).toContain(message)
    expect(error.message).not.toContain('hunter2')
    expect(text).toContain(error.expression)
    expect(text.slice(error.offset).startsWith(error.expression)).toBe(true)
    expect(error.message.startsWith(`{{ ${error.expression} }}: `)).toBe(true)
  })
})
