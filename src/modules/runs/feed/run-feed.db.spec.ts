import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { type FakeNode, fakeSteps, stepType } from '../../../engine/flow.fake.js'
import { Hints } from '../../../platform/hints/hints.js'
import { PostgresHints } from '../../../platform/hints/postgres-hints.js'
import { newId } from '../../../platform/ids.js'
import { RunEvents } from '../events/run-events.js'
import { Retention } from '../retention/retention.js'
import { acceptRun, type EngineProcess, engineProcess } from '../run-engine.fake.js'
import { RUN_HINT } from '../run-hints.js'
import type { FeedEvent } from './feed-events.js'
import { Horizon } from './horizon.js'
import { type FeedFilter, RunFeed } from './run-feed.js'

let database: TestDatabase
const processes: EngineProcess[] = []
const feeds: RunFeed[] = []
const hints: Hints[] = []
const readers: Reader[] = []
const graphs = new Map<string, Record<string, FakeNode>>([
  ['flow_one', { only: { type: 'quick' } }],
  ['flow_bad', { only: { type: 'bad' } }],
  ['flow_say', { say: { type: 'say' } }],
])
/** What `say` steps wait for, by run. */
const prompts = new Map<string, (line?: string) => void>()

const steps = [
  ...fakeSteps,
  stepType('quick', async () => ({ output: 1 })),
  stepType('bad', async () => {
    throw new Error('no')
  }),
  stepType('say', async (_, step) => {
    for (;;) {
      const line = await new Promise<string | undefined>((resolve, reject) => {
        prompts.set(step.run.id, resolve)
        step.signal.addEventListener('abort', () => reject(step.signal.reason), { once: true })
      })
      if (line === undefined) return { output: 'said' }
      step.log('info', line)
    }
  }),
]

beforeAll(async () => {
  database = await testDatabase()
})

afterEach(async () => {
  for (const reader of readers.splice(0)) await reader.stop()
  for (const feed of feeds.splice(0)) feed.onApplicationShutdown()
  await Promise.all(processes.splice(0).map(({ engine }) => engine.stop(1_000)))
  await Promise.all(hints.splice(0).map((one) => one.close()))
  prompts.clear()
  // A run that a failed test left would be taken up by the next one's processes.
  await database.dataSource.query('delete from run')
  await database.dataSource.query('delete from engine_instance')
})

afterAll(() => database.drop())

describe('the sequence of an account', () => {
  it('has every event once and in one order for all who follow, whenever writers commit and wherever readers begin again', async () => {
    const accounts = ['account_w1', 'account_w2']
    const [one, two] = [await newFeed(), await newFeed()]
    const start = await one.now()
    const steady = accounts.map((account) => follow(one, account, {}, start))
    const jumping = accounts.flatMap((account) => [jump(account), jump(account)])
    const writers = Array.from({ length: 12 }, (_, index) => write(accounts[index % 2] as string, 50))
    await Promise.all(writers)
    const last = new Map(await Promise.all(accounts.map(async (id) => [id, await written(id)] as const)))
    for (const [index, account] of accounts.entries()) {
      const expected = last.get(account) ?? []
      expect(expected.length).toBeGreaterThan(200)
      await vi.waitUntil(() => (steady[index] as Reader).told.length >= expected.length, { timeout: 15_000 })
      expect((steady[index] as Reader).told.map(mark)).toEqual(expected)
    }
    for (const [index, { told, stop }] of jumping.entries()) {
      const expected = last.get(accounts[index >> 1] as string) ?? []
      await vi.waitUntil(() => told.length >= expected.length, { timeout: 15_000 })
      await stop()
      expect(told.map(mark)).toEqual(expected)
      expect(told.map(({ id }) => id)).toEqual(told.map(({ id }) => id).toSorted((a, b) => a - b))
    }

    /** Reads a little in one process, then goes on in the other from the id that it had last. */
    function jump(account: string) {
      const told: FeedEvent[] = []
      const over = new AbortController()
      const ended = (async () => {
        for (let turn = 0; !over.signal.aborted; turn++) {
          const reader = follow(turn % 2 === 0 ? two : await newFeed(), account, {}, told.at(-1)?.id ?? start)
          const enough = 1 + Math.floor(Math.random() * 30)
          await vi
            .waitUntil(() => reader.told.length >= enough || over.signal.aborted, { timeout: 200, interval: 1 })
            .catch(() => {})
          await reader.stop()
          told.push(...reader.told)
        }
      })()
      const stop = async () => {
        over.abort()
        await ended
      }
      return { told, stop }
    }
  }, 60_000)

  it('is settled up to a position once nobody can commit below it any more, and other transactions do not matter', async () => {
    const horizon = new Horizon(database.sql)
    const { signal } = new AbortController()
    const [early, late, other] = [database.sql.client(), database.sql.client(), database.sql.client()]
    await Promise.all([early, late, other].map((client) => client.connect()))
    await other.query('begin')
    await other.query('create table unrelated ()')
    await early.query('begin')
    await early.query(CHUNK, [newId('run'), 'account_h'])
    const first = await horizon.last()
    await late.query('begin')
    await late.query(CHUNK, [newId('run'), 'account_h'])
    await late.query('commit')
    const asked = vi.spyOn(database.sql, 'query')
    const looks = () => asked.mock.calls.filter(([{ name }]) => name === 'event_position_writers').length
    let settled: number | undefined
    const settling = horizon.settle(signal).then((position) => {
      settled = position
    })
    await vi.waitUntil(() => looks() > 3)
    expect(settled).toBeUndefined()
    await early.query('commit')
    await settling
    asked.mockRestore()
    expect(settled).toBe(first + 1)
    await Promise.all([early, late, other].map((client) => client.end()))
  })
})

describe('what an account is told', () => {
  it('is a run from its acceptance to its end, with ids that stay', async () => {
    const { engine, feed } = await newProcess()
    const live = follow(feed, 'account_a')
    const id = await acceptRun(engine, 'flow_one', { isTold: true })
    await live.until(({ runId, type }) => runId === id && type === 'finished')
    expect(types(live.told)).toEqual(['created', 'started', 'log', 'node_started', 'node_completed', 'log', 'finished'])
    const again = follow(feed, 'account_a', { runId: id }, 0)
    await again.over
    expect(again.told).toEqual(live.told)
    const [, second] = again.told
    const rest = follow(feed, 'account_a', { runId: id }, second?.id)
    await rest.over
    expect(rest.told).toEqual(live.told.slice(2))
  })

  it('is one run, one flow, or all of the account, and nothing of others', async () => {
    const { engine, feed } = await newProcess()
    const start = await feed.now()
    const [mine, bad] = [await acceptRun(engine, 'flow_one'), await acceptRun(engine, 'flow_bad')]
    await acceptRun(engine, 'flow_one', { accountId: 'account_other' })
    const all = follow(feed, 'account_a', {}, start)
    await vi.waitUntil(() => all.told.filter(({ type }) => type === 'finished').length === 2, { timeout: 10_000 })
    expect(new Set(all.told.map(({ runId }) => runId))).toEqual(new Set([mine, bad]))
    expect(types(all.told.filter(({ runId }) => runId === bad))).toEqual([
      'created',
      'started',
      'log',
      'node_started',
      'node_failed',
      'log',
      'log',
      'finished',
    ])
    const ofFlow = follow(feed, 'account_a', { flowIds: ['flow_bad'] }, start)
    await ofFlow.until(({ type }) => type === 'finished')
    expect(ofFlow.told).toEqual(all.told.filter(({ runId }) => runId === bad))
    expect(all.told.findLast(({ runId }) => runId === bad)).toMatchObject({ state: 'failed', error: { message: 'no' } })
  })

  it('is prompt from another process, and goes on where it was when that is gone', async () => {
    const [owner, watching] = [await newProcess(), await newProcess()]
    const live = follow(watching.feed, 'account_a')
    await vi.waitUntil(() => owner.events.watched('any', 'account_a'))
    const id = await acceptRun(owner.engine, 'flow_say', { isTold: true })
    const delays: number[] = []
    for (let count = 1; count <= 20; count++) {
      const began = performance.now()
      await say(id, `line ${count}`)
      await live.until((event) => event.type === 'log' && event.message === `line ${count}`)
      delays.push(performance.now() - began)
    }
    delays.sort((a, b) => a - b)
    // Without hints a look comes every three seconds.
    expect(delays[10]).toBeLessThan(1_000)
    prompts.delete(id)
    await database.dataSource.query(
      `update engine_instance set lease_until = now() - interval '1 second' where id = (select owner from run where id = $1)`,
      [id],
    )
    await say(id, 'after')
    await say(id)
    await live.until(({ type }) => type === 'finished')
    const whole = follow(owner.feed, 'account_a', { runId: id }, 0)
    await whole.over
    expect(live.told).toEqual(whole.told)
    expect(types(live.told).filter((type) => type === 'started' || type === 'created')).toEqual(['created', 'started'])
  }, 60_000)

  it('is the end of a run that was cancelled before it did anything, and once only', async () => {
    const { feed } = await newProcess()
    const [silent, told] = [newId('run'), newId('run')]
    await insertRun(silent)
    await insertRun(told)
    await database.dataSource.query(ACCEPTED, [told, 'account_a'])
    for (const id of [silent, told, silent])
      await database.dataSource.query(`select run_cancel('account_a', $1, now())`, [id])
    await database.dataSource.query(CHUNK, [silent, 'account_a'])
    for (const id of [silent, told]) {
      const reader = follow(feed, 'account_a', { runId: id }, 0)
      await reader.over
      expect(types(reader.told)).toEqual(['created', 'finished'])
      expect(reader.told[1]).toMatchObject({ state: 'cancelled' })
    }
    const [row] = await database.dataSource.query('select max(position)::integer as last from run_event_chunk')
    // Whoever asks behind the end is not kept waiting for ever.
    await follow(feed, 'account_a', { runId: told }, row.last * 256 - 1).over
  })

  it('is the last event of a run that was cancelled, whatever its steps still say', async () => {
    const { feed } = await newProcess()
    const [begun, silent] = [newId('run'), newId('run')]
    for (const id of [begun, silent]) await insertRun(id)
    const line = (id: string, seq: number) =>
      database.dataSource.query(
        `with taken as materialized (select pg_advisory_xact_lock_shared(7209, 0))
          insert into run_event_chunk (run_id, first_seq, last_seq, entries, account_id, position, is_last)
            select $1, $2, $2, $3, 'account_a', nextval('run_event_position'), false from taken`,
        [id, seq, JSON.stringify([{ seq, type: 'log', at: new Date(), message: `line ${seq}` }])],
      )
    await line(begun, 1)
    for (const id of [begun, silent]) await database.dataSource.query(`select run_cancel('account_a', $1, now())`, [id])
    for (const id of [begun, silent]) for (const seq of [2, 3, 4]) await line(id, seq)
    const account = follow(feed, 'account_a', {}, 0)
    for (const [id, expected] of [
      [begun, ['created', 'started', 'line 1', 'finished']],
      [silent, ['created', 'finished']],
    ] as const) {
      const reader = follow(feed, 'account_a', { runId: id }, 0)
      await reader.over
      expect(reader.told.map(mark)).toEqual(expected)
      await account.until(({ runId, type }) => runId === id && type === 'finished')
      expect(account.told.filter(({ runId }) => runId === id).map(mark)).toEqual(expected)
    }
  })

  it('begins where it is asked to: not before what was removed, not behind what is there, and at no nonsense', async () => {
    const { engine, feed } = await newProcess()
    const owner = { accountId: 'account_old' }
    const id = await acceptRun(engine, 'flow_one', owner)
    const reader = follow(feed, 'account_old', { runId: id }, 0)
    await reader.over
    const ids = reader.told.map((event) => event.id)
    const early = String(ids[0])
    expect(await feed.after('account_old', early)).toBe(ids[0])
    expect(await feed.after('account_old', '0')).toBe(0)
    for (const nonsense of ['', '-1', '1.5', '0x1', 'a', '9'.repeat(16), ' 1', '1e3'])
      await expect(feed.after('account_old', nonsense)).rejects.toMatchObject({
        kind: 'invalid',
        slug: 'invalid-cursor',
      })
    await expect(feed.after('account_old', String((await feed.now()) + 1))).rejects.toMatchObject({ kind: 'invalid' })
    await database.dataSource.query(
      `update run set created_at = now() - interval '40 days',
      finished_at = now() - interval '40 days' where id = $1`,
      [id],
    )
    const { signal } = new AbortController()
    await new Retention(database.sql).removeBefore(new Date(Date.now() + 1_000), signal)
    const latest = String(await feed.now())
    for (const stale of ['0', String((ids[0] ?? 0) - 256)])
      await expect(feed.after('account_old', stale)).rejects.toMatchObject({ kind: 'gone', slug: 'stale-cursor' })
    expect(await feed.after('account_old', latest)).toBe(Number(latest))
    // What others lost is nothing to this one.
    expect(await feed.after('account_new', '0')).toBe(0)
  })
})

const ACCEPTED = `insert into run_event_chunk (run_id, first_seq, last_seq, entries, account_id, position, is_last)
  values ($1, 0, 0, '[]', $2, nextval('run_event_position'), false)`
const CHUNK = `with taken as materialized (select pg_advisory_xact_lock_shared(7209, 0))
  insert into run_event_chunk (run_id, first_seq, last_seq, entries, account_id, position, is_last)
    select $1, 1, 1, '[]', $2, nextval('run_event_position'), false from taken`

/** A writer of one run's chunks: each in a transaction that takes its time between position and commit; some come to nothing. */
async function write(accountId: string, count: number): Promise<void> {
  const id = newId('run')
  await insertRun(id, accountId)
  const client = database.sql.client()
  await client.connect()
  const own = await newHints()
  for (let seq = 1; seq <= count; seq++) {
    const isKept = Math.random() < 0.8
    await client.query('begin')
    await client.query('select pg_advisory_xact_lock_shared(7209, 0)')
    await client.query(
      `insert into run_event_chunk (run_id, first_seq, last_seq, entries, account_id, position, is_last)
        values ($1, $2, $2, $3, $4, nextval('run_event_position'), false)`,
      [
        id,
        seq + 1,
        JSON.stringify([{ seq: seq + 1, type: 'log', at: new Date(), message: `${id} ${seq}` }]),
        accountId,
      ],
    )
    await delay(Math.random() * (seq % 7 === 0 ? 60 : 5))
    await client.query(isKept ? 'commit' : 'rollback')
    own.send(RUN_HINT.accountEvents, accountId)
  }
  await client.end()
}

async function written(accountId: string): Promise<string[]> {
  const rows = await database.dataSource.query(
    `select entries -> 0 ->> 'message' as message from run_event_chunk where account_id = $1 order by position`,
    [accountId],
  )
  return rows.map((row: { message: string }) => row.message)
}

async function insertRun(id: string, accountId = 'account_a'): Promise<void> {
  await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, created_at)
      values ($1, 'tenant_t', $2, 'flow_one', 1, 'queued', 'api', '{}', now())`,
    [id, accountId],
  )
}

function mark(event: FeedEvent): string {
  return event.type === 'log' ? (event.message ?? '') : event.type
}

function types(events: readonly FeedEvent[]): string[] {
  return events.map(({ type }) => type)
}

interface Reader {
  told: FeedEvent[]
  over: Promise<void>
  until(found: (event: FeedEvent) => boolean): Promise<void>
  stop(): Promise<void>
}

/** From the beginning of all unless said. */
function follow(feed: RunFeed, accountId: string, filter: FeedFilter = {}, after?: number): Reader {
  const told: FeedEvent[] = []
  const controller = new AbortController()
  const over = (async () => {
    const from = after ?? (await feed.now())
    for await (const page of feed.follow(accountId, filter, from, controller.signal)) {
      if (controller.signal.aborted) return
      told.push(...page)
      await delay(Math.random() * 3)
    }
  })()
  const reader = {
    told,
    over,
    until: async (found: (event: FeedEvent) => boolean) => {
      await vi.waitUntil(() => told.some(found), { timeout: 10_000, interval: 1 })
    },
    stop: async () => {
      controller.abort()
      await over
    },
  }
  readers.push(reader)
  return reader
}

async function newHints(): Promise<Hints> {
  const own = new Hints([new PostgresHints(database.sql)])
  await own.open()
  hints.push(own)
  return own
}

async function newFeed(): Promise<RunFeed> {
  const feed = new RunFeed(database.sql, new RunEvents(database.sql, await newHints()))
  feeds.push(feed)
  return feed
}

async function newProcess() {
  const process = await engineProcess({ sql: database.sql, steps, graphs })
  processes.push(process)
  const feed = new RunFeed(database.sql, process.events)
  feeds.push(feed)
  return { ...process, feed }
}

/** One line more, or the end of the step. */
async function say(runId: string, line?: string): Promise<void> {
  await vi.waitUntil(() => prompts.has(runId), { timeout: 15_000, interval: 1 })
  const prompt = prompts.get(runId)
  prompts.delete(runId)
  prompt?.(line)
}
