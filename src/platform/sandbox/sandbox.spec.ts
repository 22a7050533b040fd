import { describe, expect, test } from 'vitest'
import { openSandbox } from './sandbox.fake.js'

const { evaluate, run, expression, body, failure } = openSandbox()

describe('values', () => {
  test.each([
    ['1 + 1', 2],
    ['{ a: 1, b: [2] }', { a: 1, b: [2] }],
    ['undefined', null],
    ['() => 1', null],
    ['({ kept: 1, dropped: undefined, fn() {} })', { kept: 1 }],
    ['[undefined, NaN, -0]', [null, null, 0]],
    ['new Date(0)', '1970-01-01T00:00:00.000Z'],
    ['[1, 2, 3].toSorted((a, b) => b - a)?.at(0) ?? 9', 3],
    ['`a${1}b` // comment', 'a1b'],
    ['await Promise.resolve(4) + 1', 5],
    ['Promise.resolve({ then: (use) => use(7) })', 7],
    ['"\\ud83d"', '\ud83d'],
    ['"nul \\0 inside \u{1f600}"', 'nul \0 inside 😀'],
    ['"Basic " + btoa("user:päss") + atob("aGk=")', 'Basic dXNlcjpw5HNzhi'],
  ])('of the expression %s', async (code, value) => {
    expect(await expression(code)).toEqual(value)
  })

  test.each([
    ['const x = 1\nreturn x + 1', 2],
    ['const x = 1\nx + 1', 2],
    ['[1].map(function (x) { return x + 1 })', [2]],
    ['{ a: 1 }', { a: 1 }],
    ['if (true) { return await Promise.resolve(7) }', 7],
    ['let y = await Promise.resolve(4); y * 2', 8],
    ['async function f() { return 3 }\nf()', 3],
    ['return', null],
    ['', null],
    ['// only a comment', null],
    ['x = 5; x', 5],
  ])('of the body %j', async (code, value) => {
    expect(await body(code)).toEqual(value)
  })

  test('of many scripts share one context', async () => {
    const scripts = ['const x = 1; shared.n = x', 'const x = 2; shared.n += x', 'shared.n'].map((code) => ({
      code,
      form: 'body' as const,
    }))
    const result = await evaluate({ scripts, scope: { shared: { n: 0 } } })
    expect(result.values).toEqual([1, 3, 3])
  })

  test('that JSON cannot carry are errors in plain words', async () => {
    expect((await failure('return 10n')).message).toMatch(/cannot be written as JSON.*BigInt/)
    expect((await failure('const a = {}; a.a = a; return a')).message).toMatch(/cannot be written as JSON.*circular/)
  })

  test('larger than the limit are refused', async () => {
    expect((await failure('return "x".repeat(9 * 1024 * 1024)')).message).toMatch(/larger than 8388608 characters/)
  })
})

test('results together larger than the limit are refused too', async () => {
  const scripts = Array.from({ length: 5 }, () => ({
    code: '"x".repeat(2 * 1024 * 1024)',
    form: 'expression' as const,
  }))
  await expect(evaluate({ scripts, scope: {} })).rejects.toThrow(/the results are larger than 8388608 characters/)
})

describe('variables', () => {
  const scope = {
    input: { own: 1, items: [1, 2], name: 'own name' },
    shared: { name: 'shared name', only: 'in shared', JSON: 'no', toString: 'no' },
    results: { 'a b': { body: { id: 3 } } },
    secrets: { KEY: 'k-1' },
  }

  test('are offered by name, and members of shared by their bare names', async () => {
    expect(await expression('[input.own, results["a b"].body.id, name.toUpperCase(), shared.only]', scope)).toEqual([
      1,
      3,
      'SHARED NAME',
      'in shared',
    ])
  })

  test('that a member of shared is named after do not replace built-ins', async () => {
    expect(await expression('JSON.stringify({}) + String(input)', scope)).toBe('{}[object Object]')
  })

  test('fall back from input to shared for missing members only, which the own keys do not show', async () => {
    expect(await expression('[input.name, input.only, input["on" + "ly"]]', scope)).toEqual([
      'own name',
      'in shared',
      'in shared',
    ])
    expect(
      await expression(
        '[Object.keys(input), (() => { const k = []; for (const key in input) k.push(key); return k })()]',
        scope,
      ),
    ).toEqual([
      ['own', 'items', 'name'],
      ['own', 'items', 'name'],
    ])
    expect(await expression('input', scope)).toEqual(scope.input)
  })

  test('are reached by eval, this and globalThis too', async () => {
    expect(await body('return [eval("inp" + "ut").own, this.input.own, globalThis["inp" + "ut"].own]', scope)).toEqual([
      1, 1, 1,
    ])
  })

  test('that do not exist are named', async () => {
    await expect(expression('foo + 1')).rejects.toMatchObject({
      message: "ReferenceError: 'foo' is not defined",
      code: 'script_error',
    })
  })

  test('of secrets: one that is not set is named, and no value told', async () => {
    expect(await expression('"Bearer " + secrets.KEY', scope)).toBe('Bearer k-1')
    await expect(expression('secrets.KEY + secrets.OTHER', scope)).rejects.toThrow("secret 'OTHER' is not set")
    expect(
      await expression('["OTHER" in secrets, secrets.hasOwnProperty("KEY"), Object.keys(secrets)]', scope),
    ).toEqual([false, true, ['KEY']])
  })

  test('named in capture are read back as the last script left them', async () => {
    const result = await evaluate(
      {
        scripts: [
          { code: 'params.url += "/x"; input = { replaced: true }', form: 'body' },
          { code: 'params.seen = 1', form: 'body' },
        ],
        scope: { params: { url: 'http://a', keep: true }, input: { a: 1 }, shared: {} },
        capture: ['params', 'input', 'shared', 'absent'],
      },
      { tenant: 'ada' },
    )
    expect(result.captured).toEqual({
      params: { url: 'http://a/x', keep: true, seen: 1 },
      input: { replaced: true },
      shared: {},
      absent: null,
    })
  })

  test('with __proto__ as a key are plain data', async () => {
    const input = JSON.parse('{"__proto__": {"polluted": true}, "a": 1}')
    expect(await expression('[Object.keys(input), ({}).polluted]', { input })).toEqual([['__proto__', 'a'], null])
    const echoed = (await expression('input', { input })) as object
    expect(Object.keys(echoed)).toEqual(['__proto__', 'a'])
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })
})

describe('errors', () => {
  test.each([
    ['const a = 1\nconst b = a.c.d', "TypeError: cannot read property 'd' of undefined (line 2)"],
    ['throw new Error("plain words")', 'plain words'],
    ['throw new TypeError("typed")', 'TypeError: typed'],
    ['throw "a text"', 'a text'],
    ['throw { reason: 1 }', '{"reason":1}'],
    ['throw null', 'null'],
    ['await Promise.reject(new Error("later"))', 'later'],
    ['\n\nthrow new Error("third")', 'third (line 3)'],
  ])('of %j', async (code, message) => {
    await expect(body(code)).rejects.toMatchObject({ name: 'ScriptError', message, code: 'script_error' })
  })

  test('of syntax name the line', async () => {
    expect((await failure('let ok = 1\nlet = = 2\n')).message).toMatch(/^SyntaxError: .* \(line 2\)$/)
    await expect(expression('a b')).rejects.toThrow(/^SyntaxError/)
    await expect(expression(' ')).rejects.toThrow('SyntaxError: the expression is empty')
  })

  test('that cannot be read are still errors', async () => {
    const code = 'throw { toJSON() { throw 1 }, get message() { throw 2 }, toString() { throw 3 } }'
    expect((await failure(code)).code).toBe('script_error')
  })

  test('a promise that never settles is one', async () => {
    expect((await failure('return new Promise(() => {})')).message).toBe(
      'the script waits for a promise that never settles',
    )
  })
})

describe('console', () => {
  test('lines come back with their level, in order', async () => {
    const result = await run(
      'console.log("a", 1, { b: [2] }, null, undefined); console.debug("d"); console.warn(() => 1); console.error(new TypeError("e")); await 0; console.info("last")',
      'body',
      {},
    )
    expect(result.console).toEqual([
      { level: 'info', message: 'a 1 {"b":[2]} null undefined' },
      { level: 'debug', message: 'd' },
      { level: 'warn', message: '[function anonymous]' },
      { level: 'error', message: 'TypeError: e' },
      { level: 'info', message: 'last' },
    ])
  })

  test('lines come with an error too', async () => {
    expect((await failure('console.log("before"); nowhere()')).console).toEqual([{ level: 'info', message: 'before' }])
  })

  test('is limited in lines and characters, and says so', async () => {
    const many = await run('for (let i = 0; i < 5000; i++) console.log(i)', 'body', {})
    expect(many.console).toHaveLength(1_001)
    expect(many.console.at(-1)).toMatchObject({ level: 'warn', message: expect.stringContaining('left out') })
    const long = await run('for (let i = 0; i < 1000; i++) console.log("x".repeat(1e5))', 'body', {})
    expect(JSON.stringify(long.console).length).toBeLessThan(300_000)
  })
})
