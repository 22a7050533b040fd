import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Effects } from './effects.js'
import { ServerUnderTest } from './server-under-test.js'

const RUNS = 200
/** Steps of the flow below that reach the outside, by path. */
const EFFECT_PATHS = ['start', ...Array.from({ length: 6 }, (_, index) => `each[${index}]`), 'second', 'third']
const MINUTES = 60_000

interface Ledger {
  flowId: string
  /** The execution of each idempotency key, as acknowledged. */
  accepted: Map<string, string>
}

interface Recorded {
  /** Idempotency keys of the steps whose outcome is recorded. */
  settled: Set<string>
  runs: Map<string, { state: string; owner: string | null }>
}

/** The effects of one life of the server: what had come when it was gone, and what was recorded by then. */
interface Death extends Recorded {
  counts: Map<string, number>
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

describe('200 running executions', () => {
  it.each([
    { killed: 'the server', kill: () => server.kill() },
    { killed: 'the server and its database', kill: () => server.killAll() },
  ])(
    'all end, none lost, no finished step again: $killed killed in mid-run and again during recovery',
    async ({ kill }) => {
      await server.start()
      const ledger = await newLedger()
      await signal(0, RUNS / 2)
      const deaths: Death[] = []
      for (const more of [500, 300]) {
        const from = effects.total
        const accepting = accept(ledger)
        await vi.waitUntil(() => effects.total >= from + more, { timeout: MINUTES, interval: 1 })
        await kill()
        await accepting
        deaths.push({ counts: await effects.atRest(), ...(await recorded()) })
        await server.start()
      }
      await accept(ledger)
      expect(ledger.accepted.size).toBe(RUNS)
      await confirm(ledger)
      const recovered = [...ledger.accepted].filter(([, id]) => isLive(deaths[1]?.runs.get(id)?.state))
      expect(recovered.length).toBeGreaterThan(RUNS / 2)
      // Those that still wait for their signal.
      const watched = recovered
        .filter(([key]) => numberOf(key) >= RUNS / 2)
        .map(([, id]) => id)
        .slice(0, 20)
      expect(watched).toHaveLength(20)
      const watching = await Promise.all(watched.map((id) => server.watch(id)))
      await signal(RUNS / 2, RUNS)
      await allEnded(ledger)
      await expectEveryEventOnce(watched, await Promise.all(watching.map(({ heard }) => heard)))
      expect(await server.stop()).toBe(0)
      await expectSound(ledger, deaths)
    },
    3 * MINUTES,
  )

  it(
    'are handed back on SIGTERM and finished by the next start',
    async () => {
      effects.holdAfter = 500
      await server.start()
      const ledger = await newLedger()
      await signal(0, RUNS)
      await accept(ledger)
      await vi.waitUntil(() => effects.total > 600, { timeout: MINUTES, interval: 1 })
      expect(await server.stop()).toBe(0)
      const death = { counts: await effects.atRest(), ...(await recorded()) }
      const owned = [...death.runs.values()].filter(({ state, owner }) => isLive(state) && owner !== null)
      expect(owned).toEqual([])
      expect([...death.runs.values()].some(({ state }) => state === 'queued')).toBe(true)
      expect([...death.runs.values()].filter(({ state }) => state === 'running')).toEqual([])
      effects.holdAfter = Number.POSITIVE_INFINITY
      await server.start()
      await allEnded(ledger)
      expect(await server.stop()).toBe(0)
      await expectSound(ledger, [death])
    },
    2 * MINUTES,
  )
})

async function newLedger(): Promise<Ledger> {
  return { flowId: await server.createFlow(flow(effects.address)), accepted: new Map() }
}

/** Asks for every execution that is not acknowledged yet, with the key it was asked for before; a server that dies acknowledges no more. */
async function accept({ flowId, accepted }: Ledger): Promise<void> {
  await inLanes(RUNS, 20, async (number) => {
    const key = `order-${number}`
    if (accepted.has(key)) return
    try {
      accepted.set(key, await server.run(flowId, { n: number }, key))
    } catch (error) {
      // What fetch throws when the connection breaks; an answer of the server is never one.
      if (!(error instanceof TypeError)) throw error
    }
  })
}

/** The same requests with the same keys name the same executions. */
async function confirm({ flowId, accepted }: Ledger): Promise<void> {
  for (const [key, id] of [...accepted].slice(0, 20))
    expect(await server.run(flowId, { n: numberOf(key) }, key)).toBe(id)
}

async function signal(from: number, to: number): Promise<void> {
  await inLanes(to - from, 10, (index) => server.signal(`go-${from + index}`))
}

async function allEnded(ledger: Ledger): Promise<void> {
  await vi.waitUntil(async () => (await server.countExecutions('status=running')) === 0, {
    timeout: MINUTES,
    interval: 100,
  })
  expect(await server.countExecutions('status=completed')).toBe(ledger.accepted.size)
}

async function recorded(): Promise<Recorded> {
  return await server.inDatabase(async (query) => {
    const outcomes = await query<{ run_id: string; path: string }>(
      `select run_id, path from step_outcome where state <> 'retrying'`,
    )
    const runs = await query<{ id: string; state: string; owner: string | null }>('select id, state, owner from run')
    return {
      settled: new Set(outcomes.map(({ run_id, path }) => `${run_id}:${path}`)),
      runs: new Map(runs.map(({ id, ...run }) => [id, run])),
    }
  })
}

/** What holds when all is over, whatever happened on the way. */
async function expectSound({ accepted }: Ledger, deaths: readonly Death[]): Promise<void> {
  const ids = [...accepted.values()]
  const { counts, faults } = effects
  expect(faults).toEqual([])
  expect(new Set(counts.keys())).toEqual(new Set(ids.flatMap((id) => EFFECT_PATHS.map((path) => `${id}:${path}`))))

  for (const death of deaths) {
    expect(death.settled.size).toBeGreaterThan(0)
    const again = [...death.settled].filter((key) => counts.get(key) !== death.counts.get(key))
    expect(again, 'steps that ran again although their outcome was recorded').toEqual([])
    const without = [...death.settled].filter((key) => isEffect(key) && !death.counts.has(key))
    expect(without, 'outcomes without their effect').toEqual([])
  }

  // A step may come once more for each life of the server that ended while it was in flight, and not otherwise.
  const inFlight = (key: string) => deaths.filter((death) => death.counts.has(key) && !death.settled.has(key)).length
  const tooOften = [...counts].filter(([key, count]) => count > 1 + inFlight(key))
  expect(tooOften, 'steps that ran again although they were not in flight').toEqual([])

  await server.inDatabase(async (query) => {
    const runs = await query<{ id: string; state: string }>('select id, state from run')
    expect(runs.filter(({ state }) => state !== 'completed')).toEqual([])
    expect(new Set(runs.map(({ id }) => id))).toEqual(new Set(ids))
    const gaps = await query<{ run_id: string }>(
      `select run_id from run_event_chunk c, json_array_elements(c.entries) as e (entry) group by run_id
        having count(*) <> max((entry ->> 'seq')::integer) or count(distinct (entry ->> 'seq')::integer) <> count(*)
          or min((entry ->> 'seq')::integer) <> 1`,
    )
    expect(gaps, 'runs whose events have gaps or doubles').toEqual([])
    expect(await query('select id from engine_instance')).toEqual([])
    expect(await query('select run_id from timer')).toEqual([])
  })
}

async function expectEveryEventOnce(ids: readonly string[], told: Record<string, unknown>[][]): Promise<void> {
  for (const [index, messages] of told.entries()) {
    const completed = messages.filter(({ type }) => type === 'node_completed').map(({ node_id }) => node_id)
    expect(completed).toEqual(['start', 'shape', 'each', 'pause', 'hold', 'second', 'third', 'end'])
    expect(messages[0]).toMatchObject({ type: 'execution_update', status: 'running' })
    expect(messages.filter(({ type }) => type === 'execution_completed')).toHaveLength(1)
    expect(messages.at(-1)?.type).toBe('execution_completed')
    const { total } = await server.get<{ total: number }>(`/api/v1/executions/${ids[index]}/logs?limit=1`)
    expect(messages.filter(({ type }) => type === 'log')).toHaveLength(total)
  }
}

function numberOf(key: string): number {
  return Number(key.slice('order-'.length))
}

function isEffect(key: string): boolean {
  return EFFECT_PATHS.includes(key.slice(key.indexOf(':') + 1))
}

function isLive(state: string | undefined): boolean {
  return state === 'queued' || state === 'running' || state === 'waiting'
}

async function inLanes(count: number, lanes: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      while (next < count) await work(next++)
    }),
  )
}

function flow(address: string): string {
  return `
metadata:
  name: Orders
  version: "1.0.0"
nodes:
  start:
    type: http.request
    params: { url: "http://${address}/start", method: POST, body: { n: "\${input.n}" } }
    next: { default: shape }
  shape:
    type: transform
    params: { script: "return { n: shared.n, items: [10, 20, 30, 40, 50, 60] }" }
    next: { default: each }
  each:
    type: http.request
    params:
      items: "\${input.items}"
      url: "http://${address}/each"
      method: POST
      body: { n: "\${shared.n}", item: "\${item}" }
    batch: { strategy: worker_pool, max_parallel: 2 }
    next: { default: pause }
  pause:
    type: delay
    params: { duration: 2500ms }
    next: { default: hold }
  hold:
    type: wait
    params: { key: "go-\${shared.n}", timeout: 1h }
    next: { default: second }
  second:
    type: http.request
    params: { url: "http://${address}/second", method: POST, body: { key: "\${input.data.key}" } }
    next: { default: third }
  third:
    type: http.request
    params: { url: "http://${address}/third", method: POST, body: { n: "\${shared.n}" } }
    next: { default: end }
  end:
    type: transform
    params: { script: "return { n: shared.n, done: true }" }
`
}
