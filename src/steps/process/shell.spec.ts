import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { processorTime } from '../../../test/support/processor-time.js'
import { StepError } from '../../engine/step.js'
import type { Json, JsonObject } from '../../platform/json.js'
import { bind } from './binding.js'
import { matcher } from './patterns.js'
import { assignments, commandLine, plain, shellOf, variableName } from './shell.js'

/** Everything that a shell may take for something else, in any order. */
const PIECES = [
  ...[
    "'",
    '"',
    '`',
    '$',
    '\\',
    '\n',
    '\t',
    ' ',
    '!',
    '*',
    '?',
    '[',
    ']',
    '(',
    ')',
    '{',
    '}',
    '#',
    '~',
    '=',
    '&',
    ';',
    '|',
  ],
  ...[
    '$(touch PWNED)',
    '`touch PWNED`',
    '${IFS}',
    "'$(touch PWNED)'",
    '$((1/0))',
    '<(true)',
    "$'\\x41'",
    '--',
    '-n',
    '-e',
  ],
  ...['ü', '🙂', '\u2028', '\u007f', '\u0001', '\r', 'a', '0', '@', '%s', 'a]=b', "']='"],
]

/** The same on every run, so that a failure can be looked into. */
function texts(count: number): string[] {
  let state = 42
  const next = (most: number) => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff
    return (state >> 8) % most
  }
  return Array.from({ length: count }, () =>
    Array.from({ length: next(8) }, () => PIECES[next(PIECES.length)]).join(''),
  )
}

function shell(program: string, code: string, args: string[] = []): string[] {
  const output = execFileSync(program, ['-c', code, 'test', ...args], {
    // A bash that reads from a socket takes itself for a remote one, and reads its user's settings.
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8' },
  })
  return output.toString().split('\0').slice(0, -1)
}

describe('values that are bound to a shell', () => {
  const values = [...PIECES, ...texts(400)]

  it.each(['bash', 'sh'] as const)('arrive in %s as they are', (name) => {
    const variables = new Map<string, Json>(values.map((value, index) => [`v${index}`, value]))
    const code = `${assignments(variables, name)}printf '%s\\0' ${[...variables.keys()].map((key) => `"$${key}"`).join(' ')}`
    expect(shell(`/bin/${name}`, code)).toEqual(values)
  })

  it('arrive in lists and objects of bash as they are', () => {
    const object = Object.fromEntries(values.filter((key) => key !== '').map((key) => [key, `${key}!`]))
    const code = `${assignments(
      new Map<string, Json>([
        ['list', values],
        ['map', object],
      ]),
      'bash',
    )}
      printf '%s\\0' "\${list[@]}"; printf '%s\\0' "\${!map[@]}" "\${map[@]}"`
    const told = shell('/bin/bash', code)
    expect(told.slice(0, values.length)).toEqual(values)
    expect(told.slice(values.length).toSorted()).toEqual([...Object.keys(object), ...Object.values(object)].toSorted())
  })

  it('arrive through several shells as words', () => {
    for (const value of values)
      expect(shell('/bin/sh', commandLine(['/bin/bash', '-c', 'printf "%s\\0" "$@"', 'inner', value]))).toEqual([value])
  })

  it('run nothing', () => {
    expect(() => execFileSync('/bin/ls', ['PWNED'], { stdio: 'pipe' })).toThrow()
  })
})

describe('names that are bound to a shell', () => {
  it('are variables only where a shell would not take them for something of its own', () => {
    expect(variableName('dry-run')).toBe('dry_run')
    for (const name of [
      'PATH',
      'IFS',
      'BASH_ENV',
      'LD_PRELOAD',
      'PS4',
      'UID',
      '_',
      'a b',
      '1a',
      'a[0]',
      'x;y',
      'ü',
      '',
      '$(id)',
      'FLWD_RUN_DIR',
    ])
      expect(variableName(name)).toBeUndefined()
  })

  it('are environment variables of what is left of them, the first of two that are the same', () => {
    const { env, flags } = bind({ 'a-b': 1, a_b: 2, 'ü$(id)': 'x', list: [1], nothing: null }, [])
    expect(env).toMatchObject({ ARG_A_B: '1', ARG____ID_: 'x', ARG_NOTHING: '' })
    expect(env).not.toHaveProperty('ARG_LIST')
    expect(flags).toEqual(['--a-b=1', '--a_b=2', '--ü$(id)=x', '--list=[1]', '--nothing='])
  })

  it('do not reach beyond objects', () => {
    const args = JSON.parse('{"__proto__": "x", "constructor": "y", "toString": "z"}') as JsonObject
    const { env } = bind(args, ['constructor'])
    expect(env).toMatchObject({ ARG___PROTO__: 'x', ARG_TOSTRING: 'z' })
    expect(env).not.toHaveProperty('ARG_CONSTRUCTOR')
  })
})

describe('what no program can be given', () => {
  it('is refused where it is U+0000, wherever that is', () => {
    const values: Json[] = ['a\0', ['a\0'], { 'k\0': 1 }, { k: { l: ['\0'] } }]
    for (const value of values) expect(() => bind({ value }, [])).toThrow(StepError)
  })

  it('is left out where it is too long', () => {
    const { env, flags, tooLong, variables } = bind({ long: 'x'.repeat(200_000), short: 'y' }, [])
    expect(tooLong).toEqual(['long'])
    expect(flags).toEqual(['--short=y'])
    expect(Object.keys(env)).toEqual(['ARG_SHORT'])
    expect(variables.get('long')).toHaveLength(200_000)
  })
})

it('knows shells by whatever starts them', () => {
  expect(shellOf(['/bin/bash', '-eu'])).toBe('bash')
  expect(shellOf(['/usr/bin/env', '-S', 'A=b', 'bash'])).toBe('bash')
  expect(shellOf(['/bin/dash'])).toBe('sh')
  expect(shellOf(['/usr/bin/env', 'python3'])).toBeUndefined()
  expect(plain({ a: [null, 1] })).toBe('{"a":[null,1]}')
})

it('matches paths by patterns', () => {
  const matches = (pattern: string, path: string) => matcher([pattern])(path)
  expect(matches('*.csv', 'a.csv')).toBe(true)
  expect(matches('*.csv', 'out/a.csv')).toBe(false)
  expect(matches('**/*.csv', 'a.csv')).toBe(true)
  expect(matches('**/*.csv', 'x/y/a.csv')).toBe(true)
  expect(matches('**/b/**/*.csv', 'a/b/c/d.csv')).toBe(true)
  expect(matches('out', 'out/x/y')).toBe(true)
  expect(matches('out', 'outer')).toBe(false)
  expect(matches('out/**', 'out/x/y')).toBe(true)
  expect(matches('./out/?.txt', 'out/a.txt')).toBe(true)
  expect(matches('out/?.txt', 'out/ab.txt')).toBe(false)
  expect(matches('a.c', 'abc')).toBe(false)
  expect(matches('[a](b)+', '[a](b)+')).toBe(true)
  const spent = processorTime()
  expect(matches(`${'**/'.repeat(100)}${'*a'.repeat(20)}b`, `${'a/'.repeat(100)}${'a'.repeat(60)}`)).toBe(false)
  expect(spent()).toBeLessThan(5_000)
})
