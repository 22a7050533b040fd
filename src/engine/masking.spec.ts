import { expect, it } from 'vitest'
import { type FakeNode, graphOf, interpret, stepType } from './flow.fake.js'
import type { Hooks } from './graph.js'
import { FakeHost } from './host.fake.js'
import { StepError } from './step.js'

const SECRET = 'hunter2-hunter2'

const leaking = stepType('leaking', (_, step) => {
  step.log('info', `using ${SECRET}`, { [SECRET]: [SECRET] })
  return { output: { [SECRET]: SECRET }, action: SECRET, shared: { token: SECRET, [SECRET]: 1 } }
})
const failing = stepType('failing', () => {
  throw new StepError(`no entry for ${SECRET}`, { output: { sent: SECRET }, action: SECRET, code: `no_${SECRET}` })
})
const crashing = stepType('crashing', () => {
  throw new Error(`bad ${'x'.repeat(3_988)}${SECRET}`)
})

const script = (code: string): FakeNode => ({ type: 'code', params: { script: code } })
const hooked = (hooks: Hooks): FakeNode => ({ type: 'echo', hooks })

it.each<[string, FakeNode]>([
  ['output, action, shared and logs of a step', { type: 'leaking' }],
  ['a failure’s message, output, action and code', { type: 'failing' }],
  ['a long message that is cut', { type: 'crashing' }],
  ['a failed attempt', { type: 'failing', retry: { maxAttempts: 2, waitMs: 1 } }],
  ['parameters', { type: 'echo', params: { value: { a: '${secrets.PASSWORD}', b: ['${"x" + secrets.PASSWORD}'] } } }],
  ['a script’s value', script('return {a: [secrets.PASSWORD]}')],
  ['a console line', script('console.log("pw", secrets.PASSWORD); return 1')],
  [
    'a script’s error and the lines before it',
    script('console.log(secrets.PASSWORD); throw new Error(secrets.PASSWORD)'),
  ],
  ['what prep leaves', hooked({ prep: 'context.p = secrets.PASSWORD; return {[secrets.PASSWORD]: 1}' })],
  ['what exec answers', hooked({ exec: 'return secrets.PASSWORD' })],
  ['what post answers', hooked({ post: 'return {p: secrets.PASSWORD}' })],
  [
    'a batch’s list, outputs and failure',
    {
      type: 'code',
      params: { items: '${[1, secrets.PASSWORD]}', script: 'if (index) throw Error(item); return secrets.PASSWORD' },
      batch: { strategy: 'serial', maxParallel: 1 },
    },
  ],
])('masks secrets in %s', async (_, node) => {
  const host = new FakeHost({ secrets: { PASSWORD: SECRET } })
  host.clock.hurrying = true
  const graph = graphOf({
    a: { ...node, next: { default: 'b', error: 'b' } },
    b: { type: 'echo', params: { value: ['${input}', '${shared}', '${error}', '${results}'] } },
  })
  const ending = await interpret(graph, { host, steps: [leaking, failing, crashing] })
  const alone = await interpret(graphOf({ a: node }), {
    host: new FakeHost({ secrets: { PASSWORD: SECRET }, clock: host.clock }),
    steps: [leaking, failing, crashing],
  })
  const outside = JSON.stringify([ending, alone, host.handedIn, host.events])
  expect(ending.state).toBe('completed')
  expect(outside).not.toContain(SECRET)
  expect(outside).not.toContain(SECRET.slice(0, 8))
  expect(outside).toContain('***')
})

it('lets a secret through to the step that it was meant for', async () => {
  const seen: unknown[] = []
  const sends = stepType('sends', (params) => {
    seen.push(params.token)
    return { output: 'sent' }
  })
  const host = new FakeHost({ secrets: { PASSWORD: SECRET } })
  await interpret(graphOf({ a: { type: 'sends', params: { token: '${secrets.PASSWORD}' } } }), { host, steps: [sends] })
  expect(seen).toEqual([SECRET])
})
