import { describe, expect, it } from 'vitest'
import type { Json, JsonObject } from '../../platform/json.js'
import { openSandbox } from '../../platform/sandbox/sandbox.fake.js'
import { FakeStepContext, failure } from '../step-context.fake.js'
import { outputAsDescribed } from './described.fake.js'
import { regex } from './regex.js'

const sandbox = openSandbox({ timeoutMs: 400 })

/** A step's surroundings whose scripts run where they do in earnest. */
class SandboxedContext extends FakeStepContext {
  override async script(code: string, extra: Readonly<Record<string, Json>> = {}): Promise<Json> {
    const scope = { input: 'of the run', shared: { text: 'of the run', operation: 'split' }, secrets: {}, ...extra }
    return (await sandbox.body(code, scope)) ?? null
  }
}

const search = (params: JsonObject) => outputAsDescribed(regex(), params, new SandboxedContext())

describe('regex', () => {
  it('says whether and where the text matches', async () => {
    expect(await search({ input: 'order 17, order 23', pattern: 'order (?<number>\\d+)' })).toEqual({
      found: true,
      matches: ['order 17'],
      captures: [{ index: 0, groups: ['17'], named: { number: '17' } }],
    })
    expect(await search({ input: 'none', pattern: '\\d' })).toEqual({ found: false, matches: [], captures: [] })
  })

  it('finds all, at most so many as are asked for', async () => {
    const all = { input: 'a1 b2 c3', pattern: '([a-z])(\\d)(x)?', operation: 'findAll' }
    expect(await search(all)).toMatchObject({ matches: ['a1', 'b2', 'c3'] })
    expect(await search({ ...all, limit: 2 })).toEqual({
      found: true,
      matches: ['a1', 'b2'],
      captures: [
        { index: 0, groups: ['a', '1', null], named: {} },
        { index: 3, groups: ['b', '2', null], named: {} },
      ],
    })
  })

  it.each<[string, string, string, string]>([
    ['a-b-c', '-', '+', 'a+b+c'],
    ['John Smith', '(\\w+) (\\w+)', '$2, ${1}', 'Smith, John'],
    [
      'John Smith',
      '(?P<first>\\w+) (?<last>\\w+)',
      '$<last> ${first} $& $$ $7 $0',
      'Smith John John Smith $  John Smith',
    ],
    ['abc', '', '.', '.a.b.c.'],
    ['abc', 'x', '.', 'abc'],
  ])('replaces in %j by %j and %j', async (input, pattern, replacement, result) => {
    const answer =
      pattern === ''
        ? search({ input, pattern: '(?:)', operation: 'replace', replacement })
        : search({ input, pattern, operation: 'replace', replacement })
    expect(await answer).toMatchObject({ result })
  })

  it.each<[string, string, string[]]>([
    ['a, b,c', ',\\s*', ['a', 'b', 'c']],
    ['abc', '(?:)', ['a', 'b', 'c']],
    ['abc', 'x', ['abc']],
    [',a,', ',', ['', 'a', '']],
  ])('splits %j at %j', async (input, pattern, result) => {
    expect(await search({ input, pattern, operation: 'split' })).toMatchObject({ result })
  })

  it('understands how Go writes them', async () => {
    expect(await search({ input: 'TOTAL: 7', pattern: '(?i)total: (?P<n>\\d)' })).toMatchObject({
      captures: [{ named: { n: '7' } }],
    })
    expect(await search({ input: 'b\na', pattern: '(?m)\\Aa' })).toMatchObject({ found: false })
    expect(await search({ input: 'a\nb', pattern: '(?m)a\\z' })).toMatchObject({ found: false })
    expect(await search({ input: 'ab', pattern: '\\Aab\\z' })).toMatchObject({ found: true })
    expect(await search({ input: '\\A', pattern: '\\\\A' })).toMatchObject({ found: true })
    expect(await search({ input: 'a-b', pattern: 'a\\-b' })).toMatchObject({ found: true })
  })

  it('takes what is no text as its JSON', async () => {
    expect(await search({ input: { a: 1 }, pattern: '"a":(\\d)' })).toMatchObject({ matches: ['"a":1'] })
  })

  it.each(['(', '[z-a]', '(?<a>.)(?<a>.)', 'a{2,1}', '(?i'])('refuses %j', async (pattern) => {
    expect(await failure(search({ input: 'x', pattern }))).toMatchObject({
      code: 'invalid_params',
      message: expect.stringMatching(/^pattern is no regular expression: /),
      retryable: false,
    })
  })
})

describe('made to hurt', () => {
  it.each<[string, string]>([
    ['(a+)+$', `${'a'.repeat(50)}!`],
    ['(.*)*\\1x', 'ab'.repeat(5_000)],
    ['^(([a-z])+.)+[A-Z]([a-z])+$', 'a'.repeat(200)],
    ['(?:a|a)*b', 'a'.repeat(10_000)],
  ])(
    '%s ends',
    async (pattern, input) => {
      const answer = await search({ input, pattern }).catch((error: unknown) => error)
      if (answer instanceof Error)
        expect(answer).toMatchObject({ code: expect.stringMatching(/^(regex_timeout|too_large)$/), retryable: false })
    },
    15_000,
  )

  it('ends by the time of a script', async () => {
    expect(await failure(search({ input: `${'a'.repeat(60)}!`, pattern: '(a+)+$' }))).toMatchObject({
      message: 'the pattern takes too long on this text',
      code: 'regex_timeout',
    })
  }, 15_000)

  it('does not answer more than fits', async () => {
    expect(await failure(search({ input: 'x'.repeat(1_000_000), pattern: 'x', operation: 'findAll' }))).toMatchObject({
      code: expect.stringMatching(/too_large|regex_timeout/),
    })
  }, 30_000)

  it('is data, and no code', async () => {
    const code = '`);return regexAsked;//${1+1}'
    expect(await search({ input: code, pattern: code.replace(/[`()$+{};/]/g, '\\$&') })).toMatchObject({
      matches: [code],
    })
    expect(
      await search({
        input: 'x',
        pattern: '(?<__proto__>x)',
        operation: 'replace',
        replacement: '${constructor}${__proto__}',
      }),
    ).toMatchObject({
      result: 'x',
    })
  })
})
