import { describe, expect, it } from 'vitest'
import type { BriefEvent } from '../events/run-events.js'
import { PlayMessages } from './play-messages.js'

const run = { id: 'run_1', flowId: 'flow_1', revision: 1, createdAt: new Date('2026-01-01T12:00:00Z') }
const at = '2026-01-01T12:00:05.000Z'

function told(events: Omit<Extract<BriefEvent, { type: string }>, 'at'>[]): string[] {
  const messages = new PlayMessages(run, new Map([['a', { id: 'layer_1', index: 0 }]]))
  return events
    .flatMap((event) => [...messages.of({ at, ...event } as BriefEvent)])
    .map(({ message, output }) =>
      [message.seq, message.type, message.layerId, output?.attempt].filter(Boolean).join(' '),
    )
}

describe('the messages of a play', () => {
  it('are numbered without a gap, whatever events have no message', () => {
    const events = [
      { seq: 1, type: 'log' },
      { seq: 2, type: 'node_started', node: 'a', path: 'a' },
      { seq: 3, type: 'log' },
      { seq: 4, type: 'node_completed', node: 'a', path: 'a', attempt: 2 },
      { seq: 5, type: 'ended', state: 'completed' },
    ] as never[]
    expect(told(events)).toEqual([
      '1 play:started',
      '2 play:layer:started layer_1',
      '3 play:layer:completed layer_1 2',
      '4 play:completed',
    ])
  })

  it('tell once what a process that took the play over tells again', () => {
    const begun = { type: 'node_started', node: 'a', path: 'a' }
    const waiting = { type: 'node_waiting', node: 'a', path: 'a' }
    const done = { type: 'node_completed', node: 'a', path: 'a', attempt: 1 }
    const events = [begun, waiting, begun, waiting, done, begun, done].map((event, seq) => ({ seq, ...event }))
    expect(told(events as never[])).toEqual([
      '1 play:started',
      '2 play:layer:started layer_1',
      '3 play:waiting layer_1',
      '4 play:layer:completed layer_1 1',
    ])
  })

  it('of one that nothing had begun in are its end alone', () => {
    expect(told([{ seq: 1, type: 'ended', state: 'cancelled' }] as never[])).toEqual(['1 play:cancelled'])
  })
})
