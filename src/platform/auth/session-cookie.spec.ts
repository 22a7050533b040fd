import { expect, it } from 'vitest'
import { sessionIn } from './session-cookie.js'

const ID = `${'a-_Z9'.repeat(8)}abc`

it.each([`sid=${ID}`, `a=1; sid=${ID}`, `sid=${ID}; b=2`, `a=1;sid=${ID};b=2`])('finds the session in %s', (header) => {
  expect(sessionIn(header)).toBe(ID)
})

it.each([
  undefined,
  '',
  'sid=',
  `sid=${ID}x`,
  `sid=${ID.slice(1)}`,
  `xsid=${ID}`,
  `sid="${ID}"`,
  `SID=${ID}`,
  `a=sid=${ID}`,
  `sid=${'é'.repeat(43)}`,
])('finds none in %s', (header) => {
  expect(sessionIn(header)).toBeUndefined()
})
