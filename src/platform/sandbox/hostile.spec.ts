import { afterEach, describe, expect, test } from 'vitest'
import { openSandbox } from './sandbox.fake.js'

const MEMORY_MB = 64
const { evaluate, body, expression, failure } = openSandbox({ timeoutMs: 3_000, memoryMb: MEMORY_MB })

afterEach(async () => {
  expect(await expression('[1 + 1, Object.keys({}), [].polluted]')).toEqual([2, [], null])
})

describe('code that wants 2 GB is stopped inside its limit', () => {
  test.each([
    ['arrays of arrays', 'const a = []; while (true) a.push(new Array(1000).fill(1))'],
    ['a growing Map', 'const m = new Map(); for (let i = 0; ; i++) m.set(i, { i })'],
    [
      'a growing text',
      'let s = "x"; const kept = []; while (true) { s += s.slice(0, 1e6) + "y"; kept.push(s + kept.length) }',
    ],
    ['array buffers', 'const a = []; while (true) a.push(new Uint8Array(1e6).fill(1))'],
    ['one array buffer', 'new ArrayBuffer(2 ** 31 - 1)'],
    ['a filled array', 'new Array(5e7).fill(0)'],
    ['small objects', 'const a = []; while (true) a.push({ a: 1, b: [2] })'],
    ['waiting microtasks', 'for (;;) Promise.resolve().then(() => {})'],
    ['growing closures of promises', 'let p = Promise.resolve(); for (;;) p = p.then((x) => [x])'],
  ])('%s', async (_, code) => {
    const before = process.memoryUsage.rss()
    const error = await failure(code)
    expect(error.code).toBe('script_memory')
    expect(error.message).toBe('the script wanted more memory than it may have')
    expect((process.memoryUsage.rss() - before) / 2 ** 20).toBeLessThan(6 * MEMORY_MB)
  })

  test('again and again, without this process growing', async () => {
    const attack = () => failure('const a = []; while (true) a.push(new Uint8Array(1e6).fill(1))')
    await attack()
    const before = process.memoryUsage.rss()
    for (let round = 0; round < 30; round++) await attack()
    expect((process.memoryUsage.rss() - before) / 2 ** 20).toBeLessThan(8 * MEMORY_MB)
  })

  test('variables that fill it', async () => {
    const scope = { text: 'x'.repeat(40 * 2 ** 20) }
    expect((await failure('return text.length', scope)).code).toBe('script_memory')
    const rows = Array.from({ length: 1_500_000 }, (_, id) => ({ id }))
    expect((await failure('return rows.length', { rows })).code).toBe('script_memory')
  })

  test('a later script that finds it full', async () => {
    const fill = 'var kept = []; try { for (;;) kept.push([kept.length]) } catch {}'
    const scripts = [fill, `"${'x'.repeat(200_000)}".length`, 'kept.length'].map((code) => ({
      code,
      form: 'body' as const,
    }))
    await expect(evaluate({ scripts, scope: {} })).rejects.toMatchObject({ name: 'ScriptError' })
  })

  test('a text longer than any may be', async () => {
    expect((await failure('"x".repeat(2 ** 30)')).code).toMatch(/^script_(error|memory)$/)
  })

  test('caught, it goes on within the limit', async () => {
    const code = 'try { const a = []; while (true) a.push(new Uint8Array(1e6)) } catch (error) { return error.message }'
    expect(await body(code)).toBe('out of memory')
  })
})

describe('code that does not end is stopped at its deadline', () => {
  test.each([
    ['while (true)', 'while (true);'],
    ['a loop that catches everything', 'for (;;) { try { for (;;) {} } catch {} finally { continue } }'],
    ['a microtask that adds the next', 'const again = () => Promise.resolve().then(again); return again()'],
    ['an async loop', 'while (true) await null'],
    ['a loop behind the result', 'Promise.resolve().then(() => { for (;;) {} }); return 1'],
    ['a regular expression that backtracks for ages', '/^(a+)+$/.test("a".repeat(40) + "b")'],
    ['a loop in toJSON', 'return { toJSON() { for (;;) {} } }'],
    ['a loop in a thrown thing', 'throw { toJSON() { for (;;) {} } }'],
    ['a loop in a thenable', 'return { get then() { for (;;) {} } }'],
    ['a native operation that cannot be interrupted', 'Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)'],
  ])('%s', async (_, code) => {
    const scripts = [{ code, form: 'body' as const }]
    await expect(evaluate({ scripts, scope: {} }, { timeoutMs: 150 })).rejects.toMatchObject({
      code: 'script_timeout',
      message: 'the script ran longer than 150 ms',
    })
  })

  test('counted over all scripts of one evaluation', async () => {
    const code = 'const end = Date.now() + 100; while (Date.now() < end);'
    const scripts = Array.from({ length: 5 }, () => ({ code, form: 'body' as const }))
    await expect(evaluate({ scripts, scope: {} }, { timeoutMs: 250 })).rejects.toMatchObject({ code: 'script_timeout' })
  })
})

describe('code that goes too deep is an error', () => {
  test.each([
    ['recursion', '(function f() { f() })()'],
    ['recursion through built-ins', '(function f() { [1].map(f) })()'],
    ['recursion through a getter', 'const o = { get a() { return this.a } }; o.a'],
    ['recursion through a proxy', 'let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x'],
    ['JSON.parse of a million brackets', 'JSON.parse("[".repeat(1e6))'],
    ['a nested result', 'let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a'],
    ['nested source text', 'eval("[".repeat(1e5))'],
    ['a nested regular expression', 'new RegExp("(".repeat(1e5) + ")".repeat(1e5)).test("")'],
    ['a replacer that recurses', 'JSON.stringify([1], function f() { return JSON.stringify([1], f) })'],
  ])('%s', async (_, code) => {
    // The depth must end it, on a slow machine too, and not the clock.
    const scripts = [{ code, form: 'body' as const }]
    const outcome = evaluate({ scripts, scope: {} }, { timeoutMs: 15_000 })
    await expect(outcome).rejects.toMatchObject({ code: expect.stringMatching(/^script_(error|memory)$/) })
  })
})

describe('nothing of the host is within reach', () => {
  test.each([
    'process',
    'require',
    'fetch',
    'XMLHttpRequest',
    'WebSocket',
    'Worker',
    'WebAssembly',
    'Buffer',
    'global',
    'module',
    'setTimeout',
    'std',
    'os',
    'scriptArgs',
  ])('%s is not defined', async (name) => {
    expect((await failure(`return ${name}`)).message).toBe(`ReferenceError: '${name}' is not defined`)
  })

  test.each(['node:fs', 'fs', 'os', 'std', './worker.js', 'http://127.0.0.1/'])('import("%s") fails', async (name) => {
    expect((await failure(`return import(${JSON.stringify(name)})`)).code).toBe('script_error')
    expect((await failure(`import * as x from ${JSON.stringify(name)}`)).code).toBe('script_error')
  })

  test('the constructor of every function makes functions of the sandbox', async () => {
    const code = `return [console.log, Math.random, JSON.parse, (async () => {}), (function* () {})]
      .map((fn) => typeof fn.constructor("return typeof process")())`
    expect(await body(code)).toEqual(['string', 'string', 'string', 'object', 'object'])
    expect(await body('return console.log.constructor("return typeof process + typeof require")()')).toBe(
      'undefinedundefined',
    )
  })
})

describe('what code changes, it changes for itself only', () => {
  const attack = `
    Object.prototype.polluted = 'yes'; Array.prototype.polluted = 'yes'; Function.prototype.call = null
    JSON.stringify = () => '"forged"'; JSON.parse = () => ({}); Promise.prototype.then = null; Object.keys = null
    Array.prototype.push = Array.prototype.map = null; String.prototype.slice = null; globalThis.leak = secrets.KEY
    console.log = null; Math.random = () => 4; Error.prototype.name = 'Forged'; Object.hasOwn = () => true
    Object.defineProperty(Object.prototype, 'value', { get() { return 'stolen' }, set() {} })
    Object.freeze(Object.prototype); input.__proto__.__proto__.deep = 1
    return 'done'`

  test('prototypes, built-ins and globals are whole again for the next evaluation', async () => {
    expect(await body(attack, { input: {}, secrets: { KEY: 'k-1' } })).toBe('done')
    const look = `return [({}).polluted, [].polluted, JSON.stringify([1]), typeof leak, ({}).value, Object.isFrozen(Object.prototype),
      [1].map((x) => x + 1), Object.hasOwn({}, 'x'), new Error('x').name, ({}).deep]`
    expect(await body(look)).toEqual([null, null, '[1]', 'undefined', null, false, [2], false, 'Error', null])
    expect(await body('console.log("still here"); return Math.random() !== 4')).toBe(true)
  })

  test('the same holds after an error, a deadline and a full memory', async () => {
    for (const end of ['throw 1', 'for (;;) {}', 'const a = []; for (;;) a.push([1])']) {
      const scripts = [{ code: `globalThis.leak = Object.prototype.polluted = 1; ${end}`, form: 'body' as const }]
      await expect(evaluate({ scripts, scope: {} }, { timeoutMs: 1_000 })).rejects.toThrow()
      expect(await body('return [typeof leak, ({}).polluted]')).toEqual(['undefined', null])
    }
  })

  test('the host keeps its prototypes', async () => {
    await body('Object.prototype.polluted = 1; return JSON.parse(\'{"__proto__": {"polluted": 1}}\')')
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
  })

  test('between tenants too, also when one left the other no room to be clean', async () => {
    const leave = { scripts: [{ code: 'globalThis.leak = "from ada"', form: 'body' as const }], scope: {} }
    const look = { scripts: [{ code: 'typeof leak', form: 'body' as const }], scope: {} }
    for (let index = 0; index < 12; index++) {
      await evaluate(leave, { tenant: `tenant ${index}` })
      expect((await evaluate(look, { tenant: `tenant ${index + 1}` })).values).toEqual(['undefined'])
    }
  })

  test('random numbers differ from one evaluation to the next, although all start from one image', async () => {
    const seen = new Set<unknown>()
    for (let index = 0; index < 5; index++) seen.add(await expression('Math.random()'))
    expect(seen.size).toBe(5)
  })
})

describe('code cannot talk its way out of its wrapper', () => {
  test.each(['}); globalThis.x = 1; ({', '*/ 1', '})(), (function () {', ')), ((1'])('%s', async (code) => {
    await evaluate({ scripts: [{ code, form: 'expression' }], scope: {} }).catch(() => {})
    await evaluate({ scripts: [{ code: `return 1; ${code}`, form: 'body' }], scope: {} }).catch(() => {})
    expect(await expression('typeof process')).toBe('undefined')
  })
})
