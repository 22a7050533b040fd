import { Injectable } from '@nestjs/common'
import { type Label, nodesOf } from '../../../engine/graph.js'
import type { Principal } from '../../../platform/auth/principal.js'
import type { JsonObject } from '../../../platform/json.js'
import { RevisionUnusable } from '../../flows/flows.errors.js'
import { FlowsService } from '../../flows/flows.service.js'
import { AccountRuns, type FoundRun } from '../events/account-runs.js'
import { RunEvents } from '../events/run-events.js'
import { ValueUnavailable } from '../runs.errors.js'
import { labelsOf } from '../steps/run-steps.service.js'
import { type Beginning, PlayCourse, type PlayCourseParts } from './play-course.js'
import { PlayMessages } from './play-messages.js'
import { EVERYTHING, type Subscription } from './play-subscription.js'

/** A play that has begun while it is watched is told from its first message on. */
const WHOLE: Beginning = { after: 0 }

export interface Watcher {
  caller: Pick<Principal, 'tenantId' | 'accountId'>
  /** Resolves when there is room for the next one. */
  send(message: JsonObject): Promise<void>
  onError(error: unknown): void
}

/** What watchers of an account are told of its plays. */
@Injectable()
export class PlayFeeds {
  constructor(
    private readonly runs: AccountRuns,
    private readonly events: RunEvents,
    private readonly flows: FlowsService,
  ) {}

  /** Tells of everything from now on, until another subscription takes the place of that. */
  async open(watcher: Watcher, now: Date): Promise<PlayFeed> {
    const { tenantId, accountId } = watcher.caller
    const parts: PlayCourseParts = {
      send: (message) => watcher.send(message),
      onError: (error) => watcher.onError(error),
      follow: (run, signal) => this.events.followBriefly(run.id, 0, signal),
      messagesOf: async (run) => new PlayMessages(run, await this.labelsOf(run)),
      outputOf: async ({ id }, place) => {
        // The watcher hears of the layer all the same; who reads the play meets the fault.
        const out = await this.events.outputOf(tenantId, id, place).catch((error) => {
          if (error instanceof ValueUnavailable) return null
          throw error
        })
        return { out }
      },
    }
    const feed = new PlayFeed(accountId, this.runs, parts, now)
    try {
      await feed.open()
    } catch (error) {
      await feed.close()
      throw error
    }
    return feed
  }

  private async labelsOf({ flowId, revision }: FoundRun): Promise<ReadonlyMap<string, Label>> {
    try {
      return labelsOf(nodesOf(await this.flows.graph(flowId, revision)))
    } catch (error) {
      if (error instanceof RevisionUnusable) return new Map()
      throw error
    }
  }
}

/** What one watcher is told. */
export class PlayFeed {
  private course: PlayCourse
  /** Plays that were found while one course takes the place of another. */
  private waiting?: FoundRun[]
  private leave = () => {}
  private isClosed = false

  constructor(
    private readonly accountId: string,
    private readonly runs: AccountRuns,
    private readonly parts: PlayCourseParts,
    private readonly openedAt: Date,
  ) {
    this.course = new PlayCourse(EVERYTHING, openedAt, parts)
  }

  async open(): Promise<void> {
    const leave = await this.runs.watch(this.accountId, (run) => this.found(run))
    if (this.isClosed) return leave()
    this.leave = leave
    await this.take(EVERYTHING, () => this.openedAt)
  }

  /** Goes on where the subscription before was, unless this one says where. */
  async subscribe(subscription: Subscription, now: Date): Promise<void> {
    const { since } = subscription
    const before = this.course
    this.waiting = []
    const told = await before.stop()
    const course = new PlayCourse(subscription, since ?? now, this.parts)
    this.course = course
    if (!since) course.takeOver(told)
    for (const run of this.waiting) course.add(run, WHOLE)
    this.waiting = undefined
    // What the one before would have told, had it been found by then, is not told from now on only.
    await this.take(subscription, (run) => since ?? (before.accepts(run) ? before.since : now))
    if (this.isClosed) await course.stop()
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.leave()
    await this.course.stop()
  }

  private found(run: FoundRun): void {
    if (this.waiting) this.waiting.push(run)
    else this.course.add(run, WHOLE)
  }

  /** The plays that are there. */
  private async take({ playIds, after }: Subscription, sinceOf: (run: FoundRun) => Date): Promise<void> {
    const { course } = this
    const asked = [...new Set([...(playIds ?? []), ...after.keys()])]
    const [named, others] = await Promise.all([
      this.runs.named(this.accountId, asked),
      playIds ? [] : this.runs.since(this.accountId, course.since),
    ])
    for (const run of [...named, ...others]) course.add(run, { since: sinceOf(run) })
  }
}
