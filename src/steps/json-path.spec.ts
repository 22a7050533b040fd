import { describe, expect, it } from 'vitest'
import { isJsonPath, readPath } from './json-path.js'

const data = {
  items: [
    { id: 1, tags: ['a', 'b'] },
    { id: 2, tags: ['c'] },
  ],
  'odd name': { "it's": 'here' },
  nothing: null,
  größe: 5,
}

describe('readPath', () => {
  it.each([
    ['$', data],
    ['$.items[0].id', 1],
    ['$.items[-1].id', 2],
    ["$['items'][1]['id']", 2],
    ['$["odd name"]', { "it's": 'here' }],
    ["$['odd name']['it\\'s']", 'here'],
    ['$.größe', 5],
    ['$.items[*].id', [1, 2]],
    ['$.items[*].tags[*]', ['a', 'b', 'c']],
    ['$.items.*.id', [1, 2]],
    ['$.items[*].missing', []],
    ['$.nothing', null],
    ['$.missing', null],
    ['$.missing.deeper[3]', null],
    ['$.items[99]', null],
    ['$.items.length', null],
    ['$.constructor', null],
    ['$.__proto__', null],
  ])('%s', (path, expected) => {
    expect(readPath(path, data)).toEqual(expected)
  })

  it.each(['', 'items', '$items', '$.', '$..id', '$[', '$[a]', "$['a]", '$.a b', '$[?(@.id)]', '$.items[0'])(
    '%j is no path',
    (path) => {
      expect(isJsonPath(path)).toBe(false)
      expect(() => readPath(path, data)).toThrow('is not a path')
    },
  )
})
