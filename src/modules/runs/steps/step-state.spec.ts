import { describe, expect, it } from 'vitest'
import type { GraphNode } from '../../../engine/graph.js'
import { stepState } from './step-state.js'

const node = (rest: Partial<GraphNode> = {}): GraphNode => ({ name: 'a', type: 'echo', params: {}, next: {}, ...rest })

describe('a visit that has begun', () => {
  it.each([
    ['running', undefined, 'running'],
    ['waiting', 'time', 'deferred'],
    ['running', 'answer', 'waiting'],
    ['cancelled', undefined, 'skipped'],
    ['failed', 'time', 'failed'],
  ] as const)('without an outcome in a run that is %s and waits for %s is %s', (run, waitsFor, state) => {
    expect(stepState(run, undefined, waitsFor, node())).toBe(state)
    expect(stepState(run, { state: 'retrying' }, waitsFor, node())).toBe(state)
  })

  it('is what its outcome says, as its node means it', () => {
    const condition = { params: {}, holds: () => false }
    const filtered = { state: 'succeeded', action: 'filtered' } as const
    expect(stepState('completed', filtered, undefined, node({ condition }))).toBe('filtered')
    expect(stepState('completed', filtered, undefined, node())).toBe('succeeded')
    const skipped = { state: 'succeeded', action: 'skipped' } as const
    expect(stepState('completed', skipped, undefined, node({ onError: 'skip' }))).toBe('skipped')
    expect(stepState('completed', { state: 'failed' }, undefined, node({ onError: 'continue' }))).toBe('failed')
    expect(stepState('completed', skipped, undefined, undefined)).toBe('succeeded')
  })
})
