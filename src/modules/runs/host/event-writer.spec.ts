import { describe, expect, it, vi } from 'vitest'
import type { RunEvent } from '../../../engine/host.js'
import type { JournalRecord, StoredEvent } from '../journal/records.js'
import { LeaseLost } from '../runs.errors.js'
import { EventWriter } from './event-writer.js'
import { LOG_LIMITS, LogBudget, type Logged, type LogLine, LogRoom } from './log-budget.js'

describe('the events of a run', () => {
  it('are kept back until there are a hundred, or somebody asks for them', async () => {
    const { writer, chunks } = writing()
    for (let count = 0; count < 150; count++) writer.add(line())
    await vi.waitUntil(() => chunks.length === 1)
    expect(chunks).toEqual([numbers(1, 100)])
    await writer.flush()
    expect(chunks).toEqual([numbers(1, 100), numbers(101, 150)])
  })

  it('are written at once while somebody watches: together, what comes up while others are written', async () => {
    const { writer, chunks, published, release } = writing({ watched: true, held: true })
    writer.add(line())
    writer.add(line())
    await vi.waitUntil(() => chunks.length === 1)
    for (let count = 0; count < 5; count++) writer.add(line())
    release()
    await vi.waitUntil(() => chunks.length === 2)
    release()
    await vi.waitUntil(() => published() === 2)
    expect(chunks).toEqual([numbers(1, 2), numbers(3, 7)])
  })

  it('go on from the last that an earlier owner wrote', async () => {
    const { writer, chunks } = writing({ lastSeq: 41 })
    writer.add(line())
    await writer.flush()
    expect(chunks).toEqual([[42]])
  })

  it('are all written, in order, before those that go with the end, and none after', async () => {
    const { writer, chunks, release } = writing({ watched: true, held: true })
    writer.add(line())
    await vi.waitUntil(() => chunks.length === 1)
    writer.add(line())
    writer.add(line())
    let rest: StoredEvent[] | undefined
    const ending = writer.rest().then((events) => {
      rest = events
    })
    void writer.flush()
    release()
    await ending
    expect(rest?.map(({ seq }) => seq)).toEqual([2, 3])
    await writer.flush()
    expect(chunks).toEqual([[1]])
  })

  it('wait for the outcomes that they tell of', async () => {
    let record = () => {}
    const recorded = new Promise<void>((resolve) => {
      record = resolve
    })
    const { writer, chunks } = writing({ recorded })
    writer.add(line())
    const flushed = writer.flush()
    await new Promise((resolve) => setImmediate(resolve))
    expect(chunks).toEqual([])
    record()
    await flushed
    expect(chunks).toEqual([[1]])
  })

  it.each([
    { error: new LeaseLost(), told: 0 },
    { error: new Error('refused'), told: 1 },
  ])('that cannot be written hold nothing up: $error.message', async ({ error, told }) => {
    const { writer, errors } = writing({ error })
    writer.add(line())
    await writer.flush()
    expect(await writer.rest()).toEqual([])
    expect(errors).toHaveLength(told)
  })
})

describe('the log of a run', () => {
  it('ends with a line that says so once it has too many lines; its events go on without a gap', async () => {
    const { writer, events } = writing()
    for (let count = 0; count < LOG_LIMITS.lines + 50; count++) writer.add(said('again'))
    writer.add({ type: 'node_started', node: 'a', nodeType: 't', path: 'a', at: new Date() })
    writer.add(said('unheard'))
    writer.add({ type: 'log', level: 'info', message: 'Run completed', node: 'a', nodeType: 't', at: new Date() })
    await writer.flush()
    expect(events.map(({ seq }) => seq)).toEqual(numbers(1, LOG_LIMITS.lines + 3))
    expect(events.slice(-3)).toMatchObject([
      { message: expect.stringContaining('the log is full') },
      { type: 'node_started' },
      { message: 'Run completed' },
    ])
    expect(events.some((event) => 'quoted' in event)).toBe(false)
  })

  it('is as bounded for who takes the run over', async () => {
    const { writer, events } = writing({ logged: { lines: LOG_LIMITS.lines - 1, chars: 0 } })
    for (let count = 0; count < 5; count++) writer.add(said(`line ${count}`))
    await writer.flush()
    expect(events.map(({ message }) => message)).toEqual(['line 0', expect.stringContaining('is full')])
    const later = writing({ logged: { lines: LOG_LIMITS.lines + 1, chars: 0 } })
    later.writer.add(said('unheard'))
    await later.writer.flush()
    expect(later.events).toEqual([])
  })

  it('ends once it has too many characters, in messages or data; a line that is too long is cut', async () => {
    const { writer, events } = writing()
    const long = 'x'.repeat(LOG_LIMITS.charsOfLine * 2)
    writer.add(said(long))
    writer.add({ ...said('with data'), data: { long } })
    expect(events).toEqual([])
    for (let count = 0; count < 200; count++) writer.add(said(long))
    await writer.flush()
    expect(events[0]?.message?.length).toBeLessThan(LOG_LIMITS.charsOfLine + 20)
    expect(events[0]?.message).toMatch(/… \(cut\)$/)
    expect(events[1]).toMatchObject({ message: 'with data' })
    expect(events[1]?.data).toBeUndefined()
    const chars = events.reduce((sum, { message }) => sum + (message?.length ?? 0), 0)
    expect(chars).toBeLessThan(LOG_LIMITS.chars)
    expect(events.at(-1)?.message).toContain('is full')
  })

  it('is dropped in part while the database does not take it, and says how much; node events are not', async () => {
    const room = new LogRoom(10_000)
    const { writer, chunks, events, release } = writing({ room, held: true })
    for (let count = 0; count < 1_000; count++) {
      writer.add(said(`line ${count}`))
      if (count % 10 === 0) writer.add({ type: 'node_started', node: 'a', nodeType: 't', path: 'a', at: new Date() })
    }
    expect(room.isFull).toBe(true)
    expect(room.dropped).toBeGreaterThan(900)
    const flushed = writer.flush()
    await vi.waitUntil(() => {
      release()
      return chunks.length > 1
    })
    release()
    await flushed
    expect(room.isFull).toBe(false)
    writer.add(said('heard again'))
    const rest = await writer.rest()
    const all = [...events, ...rest]
    expect(all.map(({ seq }) => seq)).toEqual(numbers(1, all.length))
    expect(all.filter(({ type }) => type === 'node_started')).toHaveLength(100)
    expect(all.slice(-2)).toMatchObject([
      { message: `${room.dropped} log lines were dropped here: they came faster than they could be written` },
      { message: 'heard again' },
    ])
  })
})

function said(message: string): LogLine {
  return { type: 'log', level: 'info', message, node: 'a', nodeType: 't', quoted: true, at: new Date() }
}

interface Writing {
  watched?: boolean
  /** Writes are answered one by one, by `release`. */
  held?: boolean
  lastSeq?: number
  recorded?: Promise<void>
  error?: Error
  room?: LogRoom
  logged?: Logged
}

function writing({ watched = false, held = false, lastSeq = 0, error, logged, ...given }: Writing = {}) {
  const { recorded = Promise.resolve(), room = new LogRoom() } = given
  const events: StoredEvent[] = []
  const chunks: number[][] = []
  const errors: unknown[] = []
  const answers: (() => void)[] = []
  let published = 0
  const writer = new EventWriter({ id: 'run_1', accountId: 'account_1' }, lastSeq, () => recorded, {
    journal: {
      write: async (record: JournalRecord) => {
        if (error) throw error
        if (record.kind === 'events') {
          chunks.push(record.events.map(({ seq }) => seq))
          events.push(...record.events)
        }
        if (held) await new Promise<void>((resolve) => answers.push(resolve))
      },
    },
    events: { watched: () => watched, published: () => void published++ },
    logs: new LogBudget(room, logged),
    onError: (failure) => errors.push(failure),
  })
  return { writer, chunks, events, errors, published: () => published, release: () => answers.shift()?.() }
}

function line(): RunEvent {
  return { type: 'log', level: 'info', message: 'line', at: new Date() }
}

function numbers(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}
