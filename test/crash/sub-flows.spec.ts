import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Effects } from './effects.js'
import { ServerUnderTest } from './server-under-test.js'

const PARENTS = 40
const ITEMS = 4
const MINUTES = 60_000

interface Row {
  id: string
  parent: string | null
  path: string
  state: string
}

let effects: Effects
let server: ServerUnderTest

beforeEach(async () => {
  effects = await Effects.start({ answerAfterMs: () => 5 + Math.random() * 60 })
  server = await ServerUnderTest.create({ OUTBOUND_ALLOW: effects.address, SHUTDOWN_GRACE_MS: '300' })
})

afterEach(async () => {
  await server?.remove()
  await effects?.stop()
})

describe('executions with others below them', () => {
  it(
    'all end, each with the children that it had: the server killed twice in mid-run',
    async () => {
      await server.start()
      const child = await server.createFlow(definition(effects.address))
      const parent = await server.createFlow(parentOf(child))
      const ids = await Promise.all(
        Array.from({ length: PARENTS }, (_, index) => server.run(parent, { index }, `parent-${index}`)),
      )
      for (const more of [PARENTS, PARENTS]) {
        const from = effects.total
        await vi.waitUntil(() => effects.total >= from + more, { timeout: MINUTES, interval: 1 })
        await server.kill()
        await effects.atRest()
        await server.start()
      }
      await vi.waitUntil(async () => (await server.countExecutions('status=running')) === 0, {
        timeout: MINUTES,
        interval: 100,
      })
      expect(await server.countExecutions('status=completed')).toBe(PARENTS * (1 + ITEMS))
      expect(await server.stop()).toBe(0)
      const rows = await server.inDatabase((query) =>
        query<Row>('select id, parent_run_id as parent, parent_path as path, state from run order by id'),
      )
      const paths = Array.from({ length: ITEMS }, (_, index) => `each[${index}]`)
      for (const id of ids)
        expect(
          rows
            .filter((row) => row.parent === id)
            .map(({ path }) => path)
            .sort(),
        ).toEqual(paths)
      // Each child has done each of its steps, and twice only what was in flight at a kill.
      expect(effects.faults).toEqual([])
      const keys = rows.filter((row) => row.parent !== null).flatMap(({ id }) => [`${id}:one`, `${id}:two`])
      expect([...effects.counts.keys()].sort()).toEqual(keys.sort())
      expect(Math.max(...effects.counts.values())).toBeLessThanOrEqual(3)
      expect(effects.total).toBeLessThan(keys.length * 1.5)
    },
    3 * MINUTES,
  )
})

function definition(address: string): string {
  return `metadata: { name: Below, version: 1.0.0 }
nodes:
  one: { type: http.request, params: { url: "http://${address}/one", method: POST }, next: { default: two } }
  two: { type: http.request, params: { url: "http://${address}/two", method: POST } }
  start: { type: transform, params: { script: return input }, next: { default: one } }
`
}

function parentOf(child: string): string {
  return `metadata: { name: Above, version: 1.0.0 }
nodes:
  start: { type: transform, params: { script: "return [0, 1, 2, 3]" }, next: { default: each } }
  each:
    type: flow.run
    params: { flow_id: ${child} }
    batch: { strategy: parallel, max_parallel: 2 }
`
}
