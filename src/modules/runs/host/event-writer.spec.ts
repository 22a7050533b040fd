import { describe, expect, it, vi } from 'vitest'
import type { RunEvent } from '../../../engine/host.js'
import type { JournalRecord, StoredEvent } from '../journal/records.js'
import { LeaseLost } from '../runs.errors.js'
import { EventWriter } from './event-writer.js'

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

interface Writing {
  watched?: boolean
  /** Writes are answered one by one, by `release`. */
  held?: boolean
  lastSeq?: number
  recorded?: Promise<void>
  error?: Error
}

function writing({ watched = false, held = false, lastSeq = 0, recorded = Promise.resolve(), error }: Writing = {}) {
  const chunks: number[][] = []
  const errors: unknown[] = []
  const answers: (() => void)[] = []
  let published = 0
  const writer = new EventWriter('run_1', lastSeq, () => recorded, {
    journal: {
      write: async (record: JournalRecord) => {
        if (error) throw error
        if (record.kind === 'events') chunks.push(record.events.map(({ seq }) => seq))
        if (held) await new Promise<void>((resolve) => answers.push(resolve))
      },
    },
    events: { watched: () => watched, published: () => void published++ },
    onError: (failure) => errors.push(failure),
  })
  return { writer, chunks, errors, published: () => published, release: () => answers.shift()?.() }
}

function line(): RunEvent {
  return { type: 'log', level: 'info', message: 'line', at: new Date() }
}

function numbers(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}
