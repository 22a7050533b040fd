import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { type FakeNode, fakeSteps, stepType } from '../../../engine/flow.fake.js'
import { systemClock } from '../../../platform/clock/clock.js'
import { newId } from '../../../platform/ids.js'
import { subFlow } from '../../../steps/sub-flow.js'
import { acceptRun, type EngineProcess, engineProcess } from '../run-engine.fake.js'
import { RunsQueries } from '../runs.queries.js'
import type { TakenRun } from '../worker/taken-run.js'
import { ChildRuns } from './child-runs.js'
import { retriedOnDeadlock } from './deadlocks.js'

let database: TestDatabase
let queries: RunsQueries
const processes: EngineProcess[] = []
const graphs = new Map<string, Record<string, FakeNode>>()
/** Steps that hold until the test lets them go, by run. */
const held = new Map<string, () => void>()

const steps = [
  ...fakeSteps,
  subFlow(),
  stepType(
    'hold',
    (_, step) =>
      new Promise((resolve, reject) => {
        held.set(step.run.id, () => resolve({ output: { released: step.run.id } }))
        step.signal.addEventListener('abort', () => reject(step.signal.reason), { once: true })
      }),
    { stepClass: 'effect' },
  ),
]

beforeAll(async () => {
  database = await testDatabase()
  queries = new RunsQueries(database.sql)
})

afterEach(async () => {
  for (const release of held.values()) release()
  held.clear()
  await Promise.all(processes.splice(0).map(({ engine }) => engine.stop(100)))
})

afterAll(() => database.drop())

describe('a parent and its child', () => {
  it('are taken over together, and the parent finds the child that it had', async () => {
    const first = await process()
    const id = await start(first, { call: call({ hold: { type: 'hold' } }) })
    const child = await childOf(id)
    await vi.waitUntil(() => held.get(child))
    held.delete(child)
    await database.dataSource.query(`update engine_instance set lease_until = now() - interval '1 second'`)
    await process()
    ;(await vi.waitUntil(() => held.get(child), { timeout: 10_000 }))()
    expect(await ended(id)).toMatchObject({ state: 'completed', result: { released: child } })
    expect(await childrenOf(id)).toHaveLength(1)
  })

  it('lose neither end, whether the parent waits in memory, is being parked, or is parked', async () => {
    const { engine } = await process()
    const flow = flowOf({ call: call({ nap: { type: 'nap', params: { ms: 1_990 } } }) })
    const ids = await Promise.all(Array.from({ length: 40 }, () => acceptRun(engine, flow)))
    for (const id of ids) expect(await ended(id)).toMatchObject({ state: 'completed' })
  })

  it('are in different processes, of which each only knows its own', async () => {
    const [one, two] = [await process(), await process()]
    const ids = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        start(index % 2 === 0 ? one : two, {
          call: call({ call: call({ echo: { type: 'echo', params: { value: { index } } } }) }),
        }),
      ),
    )
    for (const [index, id] of ids.entries()) expect(await ended(id)).toMatchObject({ result: { index } })
  })
})

describe('a child that takes longer than it may', () => {
  it.each([
    ['in memory', 0.2],
    ['while its parent is parked', 3_600],
  ])('is cancelled, %s', async (_, timeout) => {
    const only = await process()
    const nap = flowOf({ hold: { type: 'hold' } })
    const id = await start(only, { call: { type: 'flow.run', params: { flow_id: nap, timeout } } })
    const child = await childOf(id)
    if (timeout === 3_600) {
      await vi.waitUntil(async () => (await stateOf(id)) === 'waiting')
      const later = `update run set created_at = created_at - interval '1 hour' where id = $1`
      await database.dataSource.query(later, [child])
      await database.dataSource.query('update run set wake_at = now() where id = $1', [id])
    }
    expect(await ended(id)).toMatchObject({ state: 'failed', error: { code: 'subflow_timeout' } })
    await vi.waitUntil(async () => (await stateOf(child)) === 'cancelled', { timeout: 10_000 })
  })
})

describe('the start of a child', () => {
  it('is one start, however often it is asked for', async () => {
    const { parent, children } = await parentRun()
    const asked = { path: 'call', attempt: 1, flowId: flowOf({ a: { type: 'echo' } }), input: null, awaited: true }
    const one = await children.start(parent, WRITER, asked)
    expect(one).toMatchObject({ isNew: true })
    expect(await children.start(parent, WRITER, asked)).toEqual({ ...one, isNew: false })
    expect(await children.start(parent, WRITER, { ...asked, attempt: 2 })).toMatchObject({ isNew: true })
    expect(await childrenOf(parent.id)).toHaveLength(2)
  })

  it('is refused to whom the parent does not belong any more', async () => {
    const { parent, children } = await parentRun()
    const asked = { path: 'call', attempt: 1, flowId: flowOf({ a: { type: 'echo' } }), input: null, awaited: true }
    for (const [run, owner] of [
      [{ ...parent, epoch: parent.epoch + 1 }, WRITER],
      [parent, { ...WRITER, id: 'engine_other' }],
    ] as const)
      await expect(children.start(run, owner, asked)).rejects.toThrow('lost its lease')
    await cancel(parent.id)
    await expect(children.start(parent, WRITER, asked)).rejects.toThrow('lost its lease')
    expect(await childrenOf(parent.id)).toEqual([])
  })

  it('leaves connections to others, however many are asked for, and ends with the run that asks', async () => {
    const { parent, children } = await parentRun()
    const flowId = flowOf({ a: { type: 'echo' } })
    const stop = new AbortController()
    const asked = (index: number) => ({ path: `all[${index}]`, attempt: 1, flowId, input: null, awaited: false })
    const starts = Array.from({ length: 200 }, (_, index) => children.start(parent, WRITER, asked(index), stop.signal))
    const settled = Promise.allSettled(starts)
    await starts[20]
    expect(database.sql.load.waitingCount).toBeLessThan(10)
    stop.abort()
    expect((await settled).map(({ status }) => status)).toContain('rejected')
    const made = await childrenOf(parent.id)
    expect(made.length).toBeGreaterThan(20)
    expect(made.length).toBeLessThan(200)
  })

  it('has a limit for each account, that its own runs count for', async () => {
    const { parent, children } = await parentRun('account_greedy')
    await database.dataSource.query(
      `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, depth, created_at)
        select 'run_greedy_' || n, 't', 'account_greedy', 'f', 1, 'waiting', 'parent', '{}', 1, now()
        from generate_series(1, 9999) n`,
    )
    const flowId = flowOf({ a: { type: 'echo' } })
    const asked = (path: string) => ({ path, attempt: 1, flowId, input: null, awaited: false })
    expect(await children.start(parent, WRITER, asked('last'))).toHaveProperty('id')
    expect(await children.start(parent, WRITER, asked('more'))).toMatchObject({
      refusal: { code: 'subflow_limit', retryable: true },
    })
    const other = await parentRun('account_modest')
    expect(await other.children.start(other.parent, WRITER, asked('first'))).toHaveProperty('id')
  })

  it('and the cancel of its parent leave no child that goes on', async () => {
    const flowId = flowOf({ a: { type: 'echo' } })
    for (let round = 0; round < 10; round++) {
      const { parent, children } = await parentRun()
      const starts = Array.from({ length: 10 }, (_, index) =>
        children
          .start(parent, WRITER, { path: `c${index}`, attempt: 1, flowId, input: null, awaited: index % 2 === 0 })
          .catch((error: Error) => error.message),
      )
      await Promise.all([...starts, cancel(parent.id)])
      expect((await childrenOf(parent.id)).filter(({ state }) => state !== 'cancelled')).toEqual([])
    }
  })
})

describe('the end of a run', () => {
  it('is its first: a cancel from above and an end of its own do not both count', async () => {
    const { engine } = await process()
    const flow = flowOf({ call: call({ a: { type: 'echo', params: { value: { ok: true } } } }) })
    for (let round = 0; round < 5; round++) {
      const ids = await Promise.all(Array.from({ length: 20 }, () => acceptRun(engine, flow)))
      const cancelled = await Promise.all(ids.map((id) => retriedOnDeadlock(() => cancel(id))))
      await engine.cancelled(cancelled.flat())
      for (const [index, id] of ids.entries()) {
        const run = await ended(id)
        const children = await Promise.all((await childrenOf(id)).map((child) => ended(child.id)))
        expect(run.state).toBe(cancelled[index]?.includes(id) ? 'cancelled' : 'completed')
        for (const child of children) {
          expect(child.state).toBe(cancelled[index]?.includes(child.id) ? 'cancelled' : 'completed')
          expect('result' in child && child.result !== undefined).toBe(child.state === 'completed')
        }
      }
    }
  })

  it('ends what it waited for, and what that waited for, and nothing else', async () => {
    const { parent: top } = await parentRun()
    const waited = await below(top.id, 'a', true)
    const deeper = await below(waited, 'a', true)
    const left = await below(waited, 'b', false)
    const free = await below(top.id, 'b', false)
    const [row] = await database.dataSource.query(
      `with ended as (update run set state = 'failed', finished_at = now() where id = $1 returning id) select id from ended`,
      [top.id],
    )
    expect(row).toBeDefined()
    const [{ ids }] = await database.dataSource.query('select run_ended(array[$1]) as ids', [top.id])
    expect(ids.sort()).toEqual([waited, deeper].sort())
    expect(await stateOf(left)).toBe('running')
    expect(await stateOf(free)).toBe('running')
  })

  it('leaves what is known of an attempt that must not be repeated to who starts again', async () => {
    const { parent } = await parentRun()
    await database.dataSource.query(
      `insert into step_open (run_id, path, attempt, started_at) values ($1, 'pay', 1, now()), ($1, 'told', 1, now())`,
      [parent.id],
    )
    await database.dataSource.query(
      `insert into step_outcome (run_id, path, attempt, node, node_type, state, started_at, finished_at)
        values ($1, 'told', 1, 'told', 't', 'succeeded', now(), now())`,
      [parent.id],
    )
    await cancel(parent.id)
    const open = 'select path from step_open where run_id = $1'
    expect(await database.dataSource.query(open, [parent.id])).toEqual([{ path: 'pay' }])
    await database.dataSource.query('select run_carry_over($1, $2, $3, $4)', [parent.id, 'run_next', ['told'], 'pay'])
    expect(await database.dataSource.query(open, ['run_next'])).toEqual([{ path: 'pay' }])
  })

  it('comes to everybody while trees are ended from above and from below at once', async () => {
    const { engine } = await process()
    const inner = flowOf({ echo: { type: 'echo' } })
    const middle = flowOf({
      all: {
        ...call(inner),
        params: { flow_id: inner, items: [1, 2, 3] },
        batch: { strategy: 'parallel', maxParallel: 3 },
      },
    })
    const outer = flowOf({
      all: {
        ...call(middle),
        params: { flow_id: middle, items: [1, 2, 3] },
        batch: { strategy: 'parallel', maxParallel: 3 },
      },
    })
    const ids = await Promise.all(Array.from({ length: 12 }, () => acceptRun(engine, outer)))
    await vi.waitUntil(async () => (await countBelow(ids)) > 20)
    const some = ids.filter((_, index) => index % 2 === 0)
    const cancelled = await Promise.all(some.map((id) => retriedOnDeadlock(() => cancel(id))))
    await engine.cancelled(cancelled.flat())
    for (const id of ids) {
      const { state } = await ended(id)
      expect(state).toBe(cancelled.flat().includes(id) ? 'cancelled' : 'completed')
    }
    await vi.waitUntil(async () => (await countBelow(ids, LIVE)) === 0)
  })
})

const WRITER = { id: 'engine_of_the_test', fence: 1 }

async function process(): Promise<EngineProcess> {
  const started = await engineProcess({ sql: database.sql, steps, graphs })
  processes.push(started)
  return started
}

function flowOf(nodes: Record<string, FakeNode>): string {
  const id = newId('flow')
  graphs.set(id, nodes)
  return id
}

/** A node that runs another flow. */
function call(flow: string | Record<string, FakeNode>): FakeNode {
  return { type: 'flow.run', params: { flow_id: typeof flow === 'string' ? flow : flowOf(flow) } }
}

async function start({ engine }: EngineProcess, nodes: Record<string, FakeNode>): Promise<string> {
  return await acceptRun(engine, flowOf(nodes))
}

/** A run that is in the hands of the test. */
async function parentRun(accountId = 'account_a'): Promise<{ parent: TakenRun; children: ChildRuns }> {
  const id = newId('run')
  await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, owner, epoch, created_at)
      values ($1, 'tenant_t', $2, 'flow_f', 1, 'running', 'api', '{}', $3, 3, now())`,
    [id, accountId, WRITER.id],
  )
  const flows = { runnable: async (_: unknown, flow: string) => ({ id: flow, revision: 1 }), graph: async () => ({}) }
  const children = new ChildRuns(database.sql, flows as never, queries, undefined as never, systemClock)
  const parent = { id, tenantId: 'tenant_t', accountId, flowId: 'flow_f', revision: 1, epoch: 3 } as TakenRun
  return { parent, children }
}

async function below(parent: string, path: string, awaited: boolean): Promise<string> {
  const id = newId('run')
  await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, owner, parent_run_id, parent_path,
        parent_attempt, awaited, depth, created_at)
      values ($1, 'tenant_t', 'account_a', 'flow_f', 1, 'running', 'parent', '{}', $2, $3, $4, 1, $5, 1, now())`,
    [id, WRITER.id, parent, path, awaited],
  )
  return id
}

async function cancel(id: string): Promise<string[]> {
  return await database.dataSource.transaction((tx) => queries.cancel(tx, 'account_a', id, new Date()))
}

async function childrenOf(id: string): Promise<{ id: string; state: string }[]> {
  return await database.dataSource.query('select id, state from run where parent_run_id = $1', [id])
}

async function childOf(id: string): Promise<string> {
  return await vi.waitUntil(async () => (await childrenOf(id))[0]?.id)
}

async function stateOf(id: string): Promise<string> {
  const [row] = await database.dataSource.query('select state from run where id = $1', [id])
  return row.state
}

const LIVE = ['queued', 'running', 'waiting']
const ANY = [...LIVE, 'completed', 'failed', 'cancelled']

async function countBelow(ids: readonly string[], states = ANY): Promise<number> {
  const [{ count }] = await database.dataSource.query(
    `with recursive below as (
        select id, state from run where parent_run_id = any ($1)
        union all select r.id, r.state from run r join below b on r.parent_run_id = b.id)
      select count(*)::integer as count from below where state = any ($2)`,
    [ids, states],
  )
  return count
}

async function ended(id: string) {
  return await vi.waitUntil(
    async () => {
      const run = await queries.find('account_a', id)
      return run?.finishedAt && run
    },
    { interval: 10 },
  )
}
