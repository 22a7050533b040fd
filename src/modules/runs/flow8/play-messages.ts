import type { Label } from '../../../engine/graph.js'
import type { FoundRun } from '../events/account-runs.js'
import type { BriefEvent } from '../events/run-events.js'
import type { StoredEvent } from '../journal/records.js'
import { toLayerState } from './play-layers.dto.js'
import { toState } from './plays.dto.js'

export const PLAY_MESSAGES = [
  'play:started',
  'play:layer:started',
  'play:layer:completed',
  'play:layer:failed',
  'play:waiting',
  'play:completed',
  'play:failed',
  'play:cancelled',
] as const

export type PlayMessageType = (typeof PLAY_MESSAGES)[number]

const LAST: readonly PlayMessageType[] = ['play:completed', 'play:failed', 'play:cancelled']

/** Whether nothing more is told of the play. */
export function isLast({ type }: PlayMessage): boolean {
  return LAST.includes(type)
}

/** A message of `/api/ws`. What a layer put out is left for whoever sends it. */
export type PlayMessage = {
  type: PlayMessageType
  playId: string
  flowId: string
  seq: number
  layerId?: string
  ref?: string
  path?: string
  state: string
  error?: string
  duration?: number
  timestamp: string
}

/** Where a layer's output is. */
export interface OutputPlace {
  path: string
  attempt: number
}

/**
 * The events of a play in flow8's words, from its first on: numbered without a gap, and each thing told once, also where a process that
 * took the play over tells it again. The same events always come to the same messages, so that a number stands for a place in them.
 */
export class PlayMessages {
  private seq = 0
  private readonly told = new Set<string>()

  constructor(
    private readonly run: FoundRun,
    private readonly labels: ReadonlyMap<string, Label>,
  ) {}

  /** What an event comes to; with where to find what the layer put out, if it did. */
  *of(event: BriefEvent): Generator<{ message: PlayMessage; output?: OutputPlace }> {
    if (event.type === 'ended') {
      yield { message: this.ended(event) }
      return
    }
    if (this.seq === 0) yield { message: this.message('play:started', event.at, { state: toState.running() }) }
    if (event.type === 'log' || event.path === undefined) return
    const { path, attempt = 1, at } = event
    const layer = { layerId: this.labels.get(event.node ?? '')?.id ?? event.node, ref: event.node, path }
    switch (event.type) {
      case 'node_started':
        if (this.isNew('started', path))
          yield { message: this.message('play:layer:started', at, { ...layer, state: toLayerState.running }) }
        return
      case 'node_waiting':
        if (this.isNew('waiting', path))
          yield { message: this.message('play:waiting', at, { ...layer, state: toLayerState.waiting }) }
        return
      case 'node_failed':
        if (this.isNew('settled', path))
          yield {
            message: this.message('play:layer:failed', at, {
              ...layer,
              state: toLayerState.failed,
              error: event.message ?? '',
            }),
          }
        return
      case 'node_completed':
        if (this.isNew('settled', path))
          yield {
            message: this.message('play:layer:completed', at, { ...layer, state: stateOf(event) }),
            output: { path, attempt },
          }
    }
  }

  private ended({ state, at, error }: Extract<BriefEvent, { type: 'ended' }>): PlayMessage {
    const word = toState[state]()
    if (state === 'failed') {
      const ref = typeof error?.node === 'string' ? { ref: error.node } : {}
      return this.message('play:failed', at, { ...ref, state: word, error: String(error?.message ?? '') })
    }
    const duration = Math.max(0, Date.parse(at) - this.run.createdAt.getTime())
    return this.message(state === 'completed' ? 'play:completed' : 'play:cancelled', at, { state: word, duration })
  }

  private message(
    type: PlayMessageType,
    timestamp: string,
    rest: Pick<PlayMessage, 'state'> & Partial<PlayMessage>,
  ): PlayMessage {
    return { type, playId: this.run.id, flowId: this.run.flowId, seq: ++this.seq, ...rest, timestamp }
  }

  private isNew(what: string, path: string): boolean {
    const key = `${what} ${path}`
    if (this.told.has(key)) return false
    this.told.add(key)
    return true
  }
}

function stateOf({ state }: StoredEvent): string {
  return toLayerState[state ?? 'succeeded']
}
