import { expect, it } from 'vitest'
import { termsOf } from './run-settings.js'

it('terms of a run are what its flow asks for, its key apart from those of other flows', () => {
  expect(termsOf(undefined, 'flow_1', {})).toEqual({})
  expect(termsOf({ priority: -5, tag: 'gpu' }, 'flow_1', {})).toEqual({ priority: -5, tag: 'gpu' })
  const concurrency = { limit: 3, key: (input: unknown) => String(input) }
  expect(termsOf({ concurrency }, 'flow_1', 'a')).toEqual({ concurrency: { key: 'flow_1:a', limit: 3 } })
  expect(termsOf({ concurrency }, 'flow_2', 'a').concurrency?.key).not.toBe(
    termsOf({ concurrency }, 'flow_1', 'a').concurrency?.key,
  )
})
