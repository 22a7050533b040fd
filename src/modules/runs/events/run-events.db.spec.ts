import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { Hints } from '../../../platform/hints/hints.js'
import { PostgresHints } from '../../../platform/hints/postgres-hints.js'
import { newId } from '../../../platform/ids.js'
import type { StoredEvent } from '../journal/records.js'
import { RUN_HINT } from '../run-hints.js'
import { RunEvents, type WatchedEvent } from './run-events.js'

let database: TestDatabase
const opened: Hints[] = []

beforeAll(async () => {
  database = await testDatabase()
})

afterEach(async () => {
  await Promise.all(opened.splice(0).map((hints) => hints.close()))
})

afterAll(() => database.drop())

describe('following a run', () => {
  it('tells every event once and in order, over many pages and chunks, and then its end', async () => {
    const id = await newRun()
    for (let first = 1; first <= 1_001; first += 77) await write(id, logs(first, Math.min(first + 76, 1_001)))
    await end(id, 'completed', { result: { ok: true } })
    const told = await all(new RunEvents(database.sql, await hints()), id)
    expect(told.map(({ seq }) => seq)).toEqual(Array.from({ length: 1_002 }, (_, index) => index + 1))
    expect(told.at(-1)).toMatchObject({ type: 'ended', state: 'completed', result: { ok: true } })
  })

  it.each([199, 200, 201, 400])('ends where the last page is full or not: %i events', async (count) => {
    const id = await newRun()
    await write(id, logs(1, count))
    await end(id, 'failed', { error: { message: 'no' } })
    const told = await all(new RunEvents(database.sql, await hints()), id)
    expect(told).toHaveLength(count + 1)
    expect(told.at(-1)).toMatchObject({ seq: count + 1, type: 'ended', state: 'failed', error: { message: 'no' } })
  })

  it('goes on after the event that was seen last', async () => {
    const id = await newRun()
    await write(id, logs(1, 50))
    await write(id, logs(51, 300))
    await end(id, 'completed', {})
    const told = await all(new RunEvents(database.sql, await hints()), id, 30)
    expect(told[0]?.seq).toBe(31)
    expect(told).toHaveLength(271)
    expect(await all(new RunEvents(database.sql, await hints()), id, 300)).toMatchObject([{ seq: 301, type: 'ended' }])
  })

  it('tells a completed node with its result', async () => {
    const id = await newRun()
    await database.dataSource.query(
      `insert into step_outcome (run_id, path, attempt, node, node_type, state, output, started_at, finished_at)
        values ($1, 'fetch', 2, 'fetch', 'http.request', 'succeeded', '{"a":"\\u0000"}', now(), now())`,
      [id],
    )
    const at = new Date().toISOString()
    await write(id, [{ seq: 1, type: 'node_completed', at, node: 'fetch', path: 'fetch', attempt: 2 }])
    await end(id, 'completed', {})
    expect((await all(new RunEvents(database.sql, await hints()), id))[0]).toMatchObject({
      node: 'fetch',
      result: { a: '\u0000' },
    })
  })

  it('hears what becomes durable meanwhile, in this process and in another', async () => {
    const id = await newRun()
    const [here, elsewhere] = [new RunEvents(database.sql, await hints()), new RunEvents(database.sql, await hints())]
    const told: WatchedEvent[][] = [[], []]
    const following = [here, elsewhere].map((events, index) => collect(events, id, told[index] as WatchedEvent[]))
    await write(id, logs(1, 3))
    here.published(id)
    await vi.waitUntil(() => told.every((events) => events.length === 3))
    await write(id, logs(4, 5))
    await end(id, 'completed', {})
    here.published(id)
    await Promise.all(following)
    expect(told.map((events) => events.map(({ seq }) => seq))).toEqual([
      [1, 2, 3, 4, 5, 6],
      [1, 2, 3, 4, 5, 6],
    ])
  })

  it('works for many at once, each hearing everything', async () => {
    const id = await newRun()
    const events = new RunEvents(database.sql, await hints())
    const followers = Array.from({ length: 100 }, () => all(events, id))
    await vi.waitUntil(() => events.watched(id))
    for (let first = 1; first <= 250; first += 10) {
      await write(id, logs(first, first + 9))
      events.published(id)
    }
    await end(id, 'cancelled', {})
    events.published(id)
    const expected = Array.from({ length: 251 }, (_, index) => index + 1)
    for (const told of await Promise.all(followers)) expect(told.map(({ seq }) => seq)).toEqual(expected)
    expect(events.watched(id)).toBe(false)
  })

  it('asks for what is kept back once it begins', async () => {
    const id = await newRun()
    const events = new RunEvents(database.sql, await hints())
    const asked: string[] = []
    events.onFollow = async (runId) => {
      asked.push(runId)
      await write(id, logs(1, 2))
      await end(id, 'completed', {})
    }
    expect(await all(events, id)).toHaveLength(3)
    expect(asked).toEqual([id])
  })

  it.each(['while it waits', 'before it begins', 'between two events'])(
    'stops when it is told to, %s',
    async (when) => {
      const id = await newRun()
      if (when === 'between two events') await write(id, logs(1, 2))
      const events = new RunEvents(database.sql, await hints())
      const stop = new AbortController()
      if (when === 'before it begins') stop.abort()
      const told: WatchedEvent[] = []
      const following = (async () => {
        for await (const event of events.follow(id, 0, stop.signal)) {
          told.push(event)
          if (when === 'between two events') break
        }
      })()
      if (when === 'while it waits') {
        await vi.waitUntil(() => events.watched(id))
        stop.abort()
      }
      await following
      expect(told).toHaveLength(when === 'between two events' ? 1 : 0)
      expect(events.watched(id)).toBe(false)
    },
  )

  it('of a run that another process has is told of at once, and that other writes what it kept back', async () => {
    const id = await newRun()
    const owner = new RunEvents(database.sql, await hints())
    const watching = new RunEvents(database.sql, await hints())
    expect(owner.watched(id)).toBe(false)
    owner.onFollow = async (runId) => {
      await write(runId, logs(1, 2))
      owner.published(runId)
    }
    const told: WatchedEvent[] = []
    const following = collect(watching, id, told)
    await vi.waitUntil(() => told.length === 2)
    expect(owner.watched(id)).toBe(true)
    owner.onFollow = async () => {}
    for (let seq = 3; seq <= 6; seq++) {
      await write(id, logs(seq, seq))
      const began = performance.now()
      owner.published(id)
      await vi.waitUntil(() => told.length === seq, { interval: 1 })
      // A look without a hint would come within three seconds.
      expect(performance.now() - began).toBeLessThan(1_500)
    }
    await end(id, 'completed', {})
    owner.published(id)
    await following
    expect(told.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  it('goes on without any hint', async () => {
    const id = await newRun()
    const events = new RunEvents(database.sql, new Hints([]))
    const told: WatchedEvent[] = []
    const following = collect(events, id, told)
    await vi.waitUntil(() => events.watched(id))
    await write(id, logs(1, 3))
    await vi.waitUntil(() => told.length === 3, { timeout: 10_000 })
    await end(id, 'completed', {})
    await following
    expect(told.map(({ seq }) => seq)).toEqual([1, 2, 3, 4])
  })

  it('tells nobody of runs that nobody watches', async () => {
    const hinted: string[] = []
    const [owner, other] = [await hints(), await hints()]
    const events = new RunEvents(database.sql, owner)
    for (const kind of Object.values(RUN_HINT)) other.on(kind, (id) => hinted.push(`${kind} ${id}`))
    for (let count = 0; count < 100; count++) events.published(await newRun())
    other.send(RUN_HINT.watched, 'run_watched')
    await vi.waitUntil(() => events.watched('run_watched'))
    events.published('run_watched')
    await vi.waitUntil(() => hinted.length > 0)
    expect(hinted).toEqual(['run.events run_watched'])
  })

  it('of a run that does not exist is over at once', async () => {
    const events = new RunEvents(database.sql, await hints())
    expect(await all(events, newId('run'))).toEqual([])
  })
})

describe('the end of a run', () => {
  const never = new AbortController().signal

  it('is told as soon as it is there, here and in another process, whatever happened before', async () => {
    const id = await newRun()
    const [here, elsewhere] = [new RunEvents(database.sql, await hints()), new RunEvents(database.sql, await hints())]
    const ends = [here, elsewhere].map((events) => events.end(id, never))
    await vi.waitUntil(() => here.watched(id) && elsewhere.watched(id))
    await write(id, logs(1, 300))
    here.published(id)
    await end(id, 'completed', { result: { ok: true } })
    here.published(id)
    expect(await Promise.all(ends)).toEqual(Array(2).fill({ state: 'completed', result: { ok: true } }))
    expect([here.watchers, elsewhere.watchers]).toEqual([0, 0])
  })

  it('that is there already is told at once, with its reason', async () => {
    const id = await newRun()
    await end(id, 'failed', { error: { message: 'no' } })
    const events = new RunEvents(database.sql, await hints())
    expect(await events.end(id, never)).toEqual({ state: 'failed', error: { message: 'no' } })
  })

  it('is not waited for longer than is asked, nor where there is no run', async () => {
    const id = await newRun()
    const events = new RunEvents(database.sql, await hints())
    const stop = new AbortController()
    const waiting = events.end(id, stop.signal)
    await vi.waitUntil(() => events.watchers === 1)
    stop.abort()
    expect(await waiting).toBeUndefined()
    expect(await events.end(id, stop.signal)).toBeUndefined()
    expect(await events.end(newId('run'), never)).toBeUndefined()
    expect(events.watchers).toBe(0)
  })
})

/** Those of one process. */
async function hints(): Promise<Hints> {
  const hints = new Hints([new PostgresHints(database.sql)])
  opened.push(hints)
  await hints.open()
  return hints
}

async function all(events: RunEvents, id: string, after = 0): Promise<WatchedEvent[]> {
  const told: WatchedEvent[] = []
  await collect(events, id, told, after)
  return told
}

async function collect(events: RunEvents, id: string, told: WatchedEvent[], after = 0): Promise<void> {
  for await (const event of events.follow(id, after, new AbortController().signal)) told.push(event)
}

function logs(first: number, last: number): StoredEvent[] {
  const at = new Date().toISOString()
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const seq = first + index
    return { seq, type: 'log', at, level: 'info', message: `line ${seq}` }
  })
}

async function write(id: string, events: StoredEvent[]): Promise<void> {
  await database.dataSource.query(
    'insert into run_event_chunk (run_id, first_seq, last_seq, entries) values ($1, $2, $3, $4)',
    [id, events[0]?.seq, events.at(-1)?.seq, JSON.stringify(events)],
  )
}

async function newRun(state = 'running'): Promise<string> {
  const id = newId('run')
  await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, created_at)
      values ($1, 'default', 'account_a', 'flow_f', 1, $2, 'api', '{}', now())`,
    [id, state],
  )
  return id
}

async function end(id: string, state: string, { result, error }: { result?: object; error?: object }): Promise<void> {
  await database.dataSource.query(
    'update run set state = $2, result = $3, error = $4, finished_at = now() where id = $1',
    [id, state, result ? JSON.stringify(result) : null, error ? JSON.stringify(error) : null],
  )
}
