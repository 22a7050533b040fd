import { expect, it } from 'vitest'
import type { Json } from '../../platform/json.js'
import { resolved, type SeenValue } from './kv-resolution.js'

const entry = (scope: 'global' | 'flow_group' | 'flow', value: Json, secret = false) => ({ scope, value, secret })
const all = [entry('flow', 'own'), entry('global', 'wide'), entry('flow_group', 'group')]

it.each(['parent', 'child', 'merge'] as const)('finds nothing where there is nothing: %s', (conflict) => {
  expect(resolved([], conflict)).toBeUndefined()
})

it('takes the widest for the parent, the narrowest for the child', () => {
  expect(resolved(all, 'parent')?.value).toBe('wide')
  expect(resolved(all, 'child')?.value).toBe('own')
  expect(resolved(all.slice(1), 'child')?.value).toBe('group')
  expect(resolved(all.slice(2), 'parent')?.value).toBe('group')
})

it.each<[Json, Json, Json]>([
  [
    { a: 1, b: { c: 1, d: 1 } },
    { b: { d: 2, e: 2 }, f: 2 },
    { a: 1, b: { c: 1, d: 2, e: 2 }, f: 2 },
  ],
  [{ a: 1 }, { a: null }, { a: null }],
  [{ a: { b: 1 } }, { a: [1] }, { a: [1] }],
  [[1, 2], [3], [3]],
  ['text', { a: 1 }, { a: 1 }],
  [{ a: 1 }, 5, 5],
])('merges %j below %j to %j', (parent, child, together) => {
  expect(resolved([entry('flow', child), entry('global', parent)], 'merge')?.value).toEqual(together)
})

it('merges three of them, whatever their members are called', () => {
  const value = resolved(
    [
      entry('global', { constructor: { a: 1 }, toString: 1 }),
      entry('flow_group', JSON.parse('{"__proto__": {"x": 1}, "constructor": {"b": 2}}')),
      entry('flow', JSON.parse('{"__proto__": {"y": 2}}')),
    ],
    'merge',
  )?.value
  expect(JSON.stringify(value)).toBe('{"constructor":{"a":1,"b":2},"toString":1,"__proto__":{"x":1,"y":2}}')
  expect(({} as { x?: number }).x).toBeUndefined()
})

it('is a secret where something in it is', () => {
  const secretOf = (seen?: SeenValue) => seen?.secret
  const entries = [entry('global', 'hidden', true), entry('flow', 'shown')]
  expect(secretOf(resolved(entries, 'parent'))).toBe(true)
  expect(secretOf(resolved(entries, 'child'))).toBe(false)
  expect(secretOf(resolved(entries, 'merge'))).toBe(true)
})
