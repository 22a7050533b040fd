import type { JsonObject } from '../../../platform/json.js'
import type { FoundRun } from '../events/account-runs.js'
import type { BriefEvent } from '../events/run-events.js'
import { isLast, type OutputPlace, type PlayMessage, type PlayMessages } from './play-messages.js'
import type { Subscription } from './play-subscription.js'

/** Plays that one watcher follows at the same time; those beyond are followed, from where they begin, as others end. */
const MOST_FOLLOWED = 2_000
/** How long a play that has ended is remembered, so that it is not taken for a new one. */
const REMEMBERED_MS = 60_000

/** From where on a play is told: behind the message of this number, or from a moment. */
export type Beginning = { after: number } | { since: Date }

/** A play that is told, and from where it would be told on. */
export interface Told {
  run: FoundRun
  beginning: Beginning
  hasEnded: boolean
}

export interface PlayCourseParts {
  follow(run: FoundRun, signal: AbortSignal): AsyncIterable<BriefEvent>
  messagesOf(run: FoundRun): Promise<PlayMessages>
  outputOf(run: FoundRun, place: OutputPlace): Promise<JsonObject>
  /** Resolves when there is room for the next one. */
  send(message: JsonObject): Promise<void>
  onError(error: unknown): void
}

/**
 * What one subscription comes to: each play from where it begins, its messages in order and once. They are sent one at a time, and what a
 * layer put out is read in that moment: a slow watcher holds one value, however many plays it follows.
 */
export class PlayCourse {
  private readonly stopping = new AbortController()
  private readonly plays = new Map<string, Told>()
  private readonly queue: Told[] = []
  private readonly ended: { id: string; at: number }[] = []
  private following = 0
  private sending: Promise<void> = Promise.resolve()

  constructor(
    private readonly subscription: Subscription,
    /** Since when it tells all that it accepts. */
    readonly since: Date,
    private readonly parts: PlayCourseParts,
  ) {}

  /** Whether the subscription asks for this play. */
  accepts({ id, flowId }: FoundRun): boolean {
    const { playIds, flowIds } = this.subscription
    return !(playIds && !playIds.has(id)) && !(flowIds && !flowIds.has(flowId))
  }

  /** A play that is to be told, unless it is told already. What the subscription says of its beginning counts before `beginning`. */
  add(run: FoundRun, beginning: Beginning): void {
    if (this.stopping.signal.aborted || this.plays.has(run.id) || !this.accepts(run)) return
    const known = this.subscription.after.get(run.id)
    const play: Told = { run, beginning: known === undefined ? beginning : { after: known }, hasEnded: false }
    this.plays.set(run.id, play)
    this.queue.push(play)
    this.next()
  }

  /** Goes on with the plays that another course told, and knows those that it told to their end, unless the subscription asks for them anew. */
  takeOver(plays: Iterable<Told>): void {
    for (const { run, beginning, hasEnded } of plays)
      if (!hasEnded) this.add(run, beginning)
      else if (!this.subscription.after.has(run.id)) this.end({ run, beginning, hasEnded })
  }

  /** Tells nothing more. Resolves, once nothing is on its way, with the plays that it told. */
  async stop(): Promise<readonly Told[]> {
    this.stopping.abort()
    await this.sending
    return [...this.plays.values()]
  }

  private next(): void {
    while (this.following < MOST_FOLLOWED) {
      const play = this.queue.shift()
      if (!play) return
      this.following++
      void this.tell(play)
        .catch((error) => this.parts.onError(error))
        .finally(() => {
          this.following--
          this.next()
        })
    }
  }

  private async tell(play: Told): Promise<void> {
    const { signal } = this.stopping
    const messages = await this.parts.messagesOf(play.run)
    for await (const event of this.parts.follow(play.run, signal))
      for (const { message, output } of messages.of(event)) {
        if (signal.aborted) return
        if (isBefore(message, play.beginning)) continue
        await this.send(play, message, output)
      }
  }

  /** In its turn. What was stopped before counts as not told. */
  private async send(play: Told, message: PlayMessage, output: OutputPlace | undefined): Promise<void> {
    const turn = this.sending.then(async () => {
      if (this.stopping.signal.aborted) return
      const { types } = this.subscription
      const isWanted = !types || types.has(message.type)
      const out = isWanted && output ? await this.parts.outputOf(play.run, output) : {}
      play.beginning = { after: message.seq }
      if (isLast(message)) this.end(play)
      if (isWanted) await this.parts.send({ ...message, ...out })
    })
    this.sending = turn.catch(() => {})
    await turn
  }

  private end(play: Told): void {
    const now = performance.now()
    play.hasEnded = true
    this.plays.set(play.run.id, play)
    this.ended.push({ id: play.run.id, at: now })
    while (this.ended[0] && this.ended[0].at < now - REMEMBERED_MS) this.plays.delete(this.ended.shift()?.id ?? '')
  }
}

function isBefore({ seq, timestamp }: PlayMessage, beginning: Beginning): boolean {
  return 'after' in beginning ? seq <= beginning.after : Date.parse(timestamp) < beginning.since.getTime()
}
