import { expect, it } from 'vitest'
import { containerName } from './container-name.js'

it('a container is named after its run and its step', () => {
  expect(containerName('run_01H', 'step_01')).toBe('run_01H-step_01')
})

it.each(['a b', 'a/b', '../../x', 'ümlaut', 'x'.repeat(500), '', '-\n'])(
  'the step %j has a name of its own',
  (step) => {
    const name = containerName('run_01H', step)
    expect(name).toMatch(/^run_01H-[A-Za-z0-9_.-]*$/)
    expect(name.length).toBeLessThanOrEqual(120)
    expect(containerName('run_01H', `${step} `)).not.toBe(name)
  },
)
