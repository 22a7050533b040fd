import { describe, expect, it } from 'vitest'
import type { Json, JsonObject } from '../../platform/json.js'
import { FakeStepContext, type FakeStepOptions, failure } from '../step-context.fake.js'
import { arrayFilter } from './array-filter.js'
import { arrayMap } from './array-map.js'
import { outputAsDescribed } from './described.fake.js'
import { MAX_ITEMS } from './limits.js'
import { template } from './template.js'

const surroundings = (options: FakeStepOptions = {}) =>
  new FakeStepContext({ variables: { $prev: { args: { country: 'DE' } } }, ...options })

const fill = (params: JsonObject, options?: FakeStepOptions) =>
  outputAsDescribed(template(), params, surroundings(options))
const filter = async (items: Json[], condition: string) =>
  ((await outputAsDescribed(arrayFilter(), { items, condition }, surroundings())) as { items: Json[] }).items
const map = async (items: Json[], how: JsonObject) =>
  ((await outputAsDescribed(arrayMap(), { items, ...how }, surroundings())) as { items: Json[] }).items

describe('template', () => {
  it.each<[string, Json, string]>([
    ['Dear {{ .name }}', { name: 'Ada' }, 'Dear Ada'],
    ['{{ range $at, $it := .items }}{{ $at }}:{{ $it }};{{ end }}', { items: ['a', 'b'] }, '0:a;1:b;'],
    ['{{ if .paid }}paid{{ else }}open{{ end }} in {{ $prev.args.country }}', { paid: false }, 'open in DE'],
    ['{{ .n }}', { n: 7 }, '7'],
    ['no expression', {}, 'no expression'],
    ['{{ . }}', 'text', 'text'],
  ])('%j with %j is %j', async (text, data, result) => {
    expect(await fill({ template: text, data })).toEqual({ result })
  })

  it('does without data, and does not read what it filled in', async () => {
    expect(await fill({ template: 'Hello' })).toEqual({ result: 'Hello' })
    expect(await fill({ template: '{{ .a }}', data: { a: '{{ .b }}', b: 'secret' } })).toEqual({ result: '{{ .b }}' })
  })

  it.each(['{{ .name', '{{ if }}', '{{ range .a }}', '{{ nothing 1 }}'])('refuses %j', async (text) => {
    expect(await failure(fill({ template: text }))).toMatchObject({ code: 'invalid_params', retryable: false })
  })

  it('fails in plain words', async () => {
    expect(await failure(fill({ template: 'x {{ $nothing.x }}' }))).toMatchObject({
      code: 'expression',
      message: expect.stringContaining("there is no variable '$nothing'"),
      retryable: false,
    })
  })
})

describe('array-filter', () => {
  const items = [
    { price: 5, country: 'DE' },
    { price: 20, country: 'FR' },
    { price: 30, country: 'DE' },
  ]

  it.each<[string, number[]]>([
    ['{{ gt .price 10 }}', [20, 30]],
    ['gt .price 10', [20, 30]],
    ['{{ and (gt .price 10) (eq .country $prev.args.country) }}', [30]],
    ['{{ gt $index 0 }}', [20, 30]],
    ['{{ eq $item.country "FR" }}', [20]],
    ['{{ if gt .price 10 }}true{{ else }}false{{ end }}', [20, 30]],
    ['true', [5, 20, 30]],
    ['{{ .missing }}', []],
  ])('by %j', async (condition, prices) => {
    expect((await filter(items, condition)).map((item) => (item as JsonObject).price)).toEqual(prices)
  })

  it('counts what it kept', async () => {
    expect(await outputAsDescribed(arrayFilter(), { items: [1, 2, 3], condition: '{{ gt . 1 }}' })).toEqual({
      items: [2, 3],
      count: 2,
    })
  })

  it.each<JsonObject>([
    { items: [1] },
    { items: 'abc', condition: 'true' },
    { items: [1], condition: '' },
    { items: [1], condition: '{{ gt . }' },
    { items: [1], condition: 'gt (' },
  ])('refuses %j', async (params) => {
    expect((await failure(outputAsDescribed(arrayFilter(), params))).code).toBe('invalid_params')
  })

  it('says what is wrong with an item', async () => {
    expect(await failure(filter([{ price: 1 }, 'text'], '{{ gt .price 0 }}'))).toMatchObject({ code: 'expression' })
  })
})

describe('array-map', () => {
  const items = [
    { first: 'Ada', last: 'Lovelace', born: 1815 },
    { first: 'Grace', last: 'Hopper', born: 1906 },
  ]

  it.each<[Json, Json[]]>([
    ['{{ .first }} {{ .last }}', ['Ada Lovelace', 'Grace Hopper']],
    ['{{ .born }}', [1815, 1906]],
    [
      { name: '{{ upper .first }}', at: ['{{ add $index 1 }}'], fixed: true },
      [
        { name: 'ADA', at: [1], fixed: true },
        { name: 'GRACE', at: [2], fixed: true },
      ],
    ],
    [{ '{{ .last }}': '{{ $item.born }}' }, [{ Lovelace: 1815 }, { Hopper: 1906 }]],
    ['{{ $prev.args.country }}', ['DE', 'DE']],
    ['same', ['same', 'same']],
    [null, [null, null]],
  ])('by the template %j', async (shape, made) => {
    expect(await map(items, { template: shape })).toEqual(made)
  })

  it('takes a member of each', async () => {
    expect(await map(items, { field: 'born' })).toEqual([1815, 1906])
    expect(await map([{ a: [{ b: 1 }] }, { a: [] }, null], { field: 'a.0.b' })).toEqual([1, null, null])
    expect(await map(items, { field: '__proto__.constructor' })).toEqual([null, null])
  })

  it('makes members of any name', async () => {
    const [made] = await map([{ key: '__proto__' }], { template: { '{{ .key }}': { polluted: true } } })
    expect(JSON.stringify(made)).toBe('{"__proto__":{"polluted":true}}')
    expect(({} as JsonObject).polluted).toBeUndefined()
  })

  it.each<JsonObject>([
    { items: [1] },
    { items: [1], template: 'x', field: 'a' },
    { items: [1], template: { a: ['{{ oops }'] } },
  ])('refuses %j', async (params) => {
    expect((await failure(outputAsDescribed(arrayMap(), params))).code).toBe('invalid_params')
  })
})

describe('made to hurt', () => {
  const many = Array.from({ length: MAX_ITEMS }, (_, at) => at)

  it('long lists leave the process to others in between', async () => {
    let turns = 0
    const tick = setInterval(() => turns++, 1)
    expect(await filter(many, '{{ eq (mod . 1000) 0 }}')).toHaveLength(100)
    clearInterval(tick)
    expect(turns).toBeGreaterThan(1)
  }, 20_000)

  it('ends where all of them together take too long', async () => {
    const slow = '{{ range until 30000 }}{{ if gt . 0 }}{{ end }}{{ end }}'
    expect(await failure(filter(many, slow))).toMatchObject({ code: 'expression', retryable: false })
  }, 30_000)

  it('ends with its run', async () => {
    const ending = new AbortController()
    const running = outputAsDescribed(
      arrayFilter(),
      { items: many, condition: '{{ range until 3000 }}{{ end }}' },
      surroundings({ signal: ending.signal }),
    )
    setTimeout(() => ending.abort(new Error('cancelled')), 50)
    await expect(running).rejects.toThrow('cancelled')
  }, 20_000)

  it.each<[string, Json]>([
    ['a list that is handed on again and again', '{{ $prev.big }}'],
    ['long texts', { a: 'x'.repeat(100_000) }],
    ['texts that are made', '{{ repeat 10000 "x" }}'],
  ])(
    'does not make more than fits of %s',
    async (_, shape) => {
      const big = Array.from({ length: 10_000 }, () => 'x')
      const step = new FakeStepContext({ variables: { $prev: { big } } })
      expect(await failure(outputAsDescribed(arrayMap(), { items: many, template: shape }, step))).toMatchObject({
        code: 'too_large',
        retryable: false,
      })
    },
    20_000,
  )

  it('no list is longer than one may be', async () => {
    for (const type of [arrayFilter(), arrayMap()]) {
      const params = { items: [...many, 1], ...(type.name === 'array-map' ? { field: 'a' } : { condition: 'true' }) }
      expect((await failure(outputAsDescribed(type, params as never))).code).toBe('invalid_params')
    }
  })
})
