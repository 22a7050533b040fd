import { expect, test } from 'vitest'
import { FairQueue } from './fair-queue.js'

const anyone = () => true

function filled(items: readonly [string, string][]): FairQueue<string> {
  const queue = new FairQueue<string>()
  for (const [tenant, item] of items) queue.push(tenant, item)
  return queue
}

test('tenants take turns; within a tenant the first comes first', () => {
  const queue = filled([
    ['a', 'a1'],
    ['a', 'a2'],
    ['a', 'a3'],
    ['b', 'b1'],
    ['c', 'c1'],
    ['c', 'c2'],
  ])
  const order = Array.from({ length: 7 }, () => queue.shift(anyone))
  expect(order).toEqual(['a1', 'b1', 'c1', 'a2', 'c2', 'a3', undefined])
  expect(queue.size).toBe(0)
})

test('a tenant that may not run is passed over and keeps its place', () => {
  const queue = filled([
    ['a', 'a1'],
    ['b', 'b1'],
  ])
  expect(queue.shift((tenant) => tenant !== 'a')).toBe('b1')
  expect(queue.shift((tenant) => tenant !== 'a')).toBeUndefined()
  expect(queue.shift(anyone)).toBe('a1')
})

test('an item can leave the line once', () => {
  const queue = filled([
    ['a', 'a1'],
    ['a', 'a2'],
  ])
  expect(queue.delete('a', 'a1')).toBe(true)
  expect(queue.delete('a', 'a1')).toBe(false)
  expect(queue.delete('x', 'a1')).toBe(false)
  expect(queue.size).toBe(1)
  expect(queue.clear()).toEqual(['a2'])
  expect(queue.size).toBe(0)
})
