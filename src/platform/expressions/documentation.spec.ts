import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { functions } from './go/functions.js'
import { evaluateTemplate } from './go-template.js'

const page = readFileSync('docs/expressions.md', 'utf8')
const now = new Date('2026-01-31T12:00:00Z')

/** The rows of the tables of functions: an example, and what it comes to as JSON. */
const examples = [...page.matchAll(/^\| `(.+?)` \| `(.+?)` \|$/gm)].map(([, code = '', result = '']) => [
  code.replaceAll('\\|', '|'),
  result,
])

test('every function is shown, and nothing is that there is not', () => {
  const shown = new Set(examples.flatMap(([code = '']) => code.match(/[a-zA-Z][a-zA-Z0-9]*/g) ?? []))
  expect([...functions.keys()].filter((name) => !shown.has(name))).toEqual([])
})

test.each(examples)('%s is %s', (code = '', result = '') => {
  if (result === 'fault') expect(() => evaluateTemplate(`{{ ${code} }}`, { dot: null, now })).toThrow()
  else expect(evaluateTemplate(`{{ ${code} }}`, { dot: null, now })).toEqual(JSON.parse(result))
})
