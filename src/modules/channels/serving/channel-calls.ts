import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common'
import { CLOCK, type Clock } from '../../../platform/clock/clock.js'
import type { Json, JsonObject } from '../../../platform/json.js'
import { FlowNotFound } from '../../flows/flows.errors.js'
import { FlowsService } from '../../flows/flows.service.js'
import { type FinalState, isFinal } from '../../runs/run-state.js'
import { RunsService } from '../../runs/runs.service.js'
import { ChannelTargetGone } from '../channels.errors.js'
import type { OpenChannel, OpenRoute } from './channel-door.js'

/** What a caller wants of a route. */
export interface Call {
  /** What the flows get. */
  args: JsonObject
  idempotencyKey?: string
  /** What has to be the same where the key is; `args` unless said. */
  sameRequest?: Json
}

/** A run that a call started, as far as its caller may know it. */
export interface Play {
  flowId: string
  playId: string
  /** `queued` once it is accepted, `running` where the caller's patience ended before it did. */
  status: 'queued' | 'running' | FinalState
  result?: JsonObject
  /** Why it failed. Callers of a public channel are not told: it may name what is behind it. */
  reason?: string
}

/**
 * What calls come to: a run for each flow of the route, of the channel's account. A waiting caller holds nothing but its connection; it
 * is told of the end by whichever process has the run.
 */
@Injectable()
export class ChannelCalls implements BeforeApplicationShutdown {
  private readonly stopping = new AbortController()

  constructor(
    private readonly flows: FlowsService,
    private readonly runs: RunsService,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Those who wait are answered with what is known: the process that stops may not be the one that ends their runs. */
  beforeApplicationShutdown(): void {
    this.stopping.abort()
  }

  /** Durable when it resolves. The caller's key is one of this route: it meets neither the keys of other channels nor the account's own. */
  async start(channel: OpenChannel, route: OpenRoute, call: Call): Promise<Play[]> {
    const { args, idempotencyKey, sameRequest } = call
    try {
      // None is started where not all can be.
      if (route.targetFlowIds.length > 1)
        await Promise.all(route.targetFlowIds.map((flowId) => this.flows.runnable(channel, flowId)))
      return await Promise.all(
        route.targetFlowIds.map(async (flowId): Promise<Play> => {
          const { id, state } = await this.runs.acceptFor(channel, {
            trigger: 'channel',
            actorId: channel.id,
            flowId,
            input: args,
            idempotencyKey: idempotencyKey && `${channel.id}/${route.id}/${idempotencyKey}`,
            sameRequest,
          })
          return { flowId, playId: id, status: isFinal(state) ? state : 'queued' }
        }),
      )
    } catch (error) {
      throw error instanceof FlowNotFound ? new ChannelTargetGone(route.name) : error
    }
  }

  /** How they end, as far as they do within the route's time and before the caller is `gone`. */
  async outcomes(channel: OpenChannel, route: OpenRoute, plays: readonly Play[], gone: AbortSignal): Promise<Play[]> {
    const late = new AbortController()
    const until = new Date(this.clock.now().getTime() + route.timeoutSeconds * 1_000)
    const inTime = this.clock.at(until, () => late.abort())
    const signal = AbortSignal.any([late.signal, gone, this.stopping.signal])
    try {
      return await Promise.all(plays.map((play) => this.outcome(channel, play, signal)))
    } finally {
      inTime()
    }
  }

  async outcome({ authMode }: OpenChannel, play: Play, signal: AbortSignal): Promise<Play> {
    const end = await this.runs.ended(play.playId, signal)
    if (!end) return { ...play, status: 'running' }
    const message = end.error?.message
    return {
      ...play,
      status: end.state,
      ...(end.result && { result: end.result }),
      ...(authMode !== 'public' && typeof message === 'string' && { reason: message }),
    }
  }
}

/** What became of a run that did not come to a result, in a sentence. */
export function failureOf({ playId, status, reason }: Play): string {
  if (status === 'cancelled') return `Play ${playId} was cancelled`
  return `Play ${playId} has failed${reason === undefined ? '' : `: ${reason}`}`
}
