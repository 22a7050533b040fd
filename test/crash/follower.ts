import { setTimeout as delay } from 'node:timers/promises'
import { type Client, NoAnswer } from './client.js'
import type { Random } from './random.js'

/** An event of flwd's stream of all runs. */
export interface Told {
  id: number
  event: string
  run: string
  step?: string
  status?: string
}

/** How long the end may take to come once it is there to be told. */
const PATIENCE_MS = 60_000

/**
 * Somebody who follows all that happens to the account's runs: now connected and now not, whichever server is there, each time behind what
 * was heard last.
 */
export class Follower {
  readonly heard: Told[] = []
  /** Answers that no fault explains. */
  readonly surprises: string[] = []
  private readonly stop = new AbortController()
  private following = Promise.resolve()

  constructor(
    private readonly client: Client,
    private readonly random: Random,
  ) {}

  start(): void {
    this.following = this.follow()
  }

  /** Leaves, and comes back until the end of this run is heard. */
  async last(run: string): Promise<void> {
    this.stop.abort()
    await this.following
    await this.hear(this.heard, (one) => isEnd(one, run))
  }

  /** The same once more: what is told of the time between the first that was heard and the end of this run. */
  async again(run: string): Promise<Told[]> {
    const [first] = this.heard
    const told = first ? [first] : []
    await this.hear(told, (one) => isEnd(one, run))
    return told
  }

  private async follow(): Promise<void> {
    while (!this.stop.signal.aborted) {
      const leave = AbortSignal.any([this.stop.signal, AbortSignal.timeout(this.random.between(3_000, 12_000))])
      await this.connect(this.heard, leave)
      if (this.random.chance(0.5)) await delay(this.random.between(100, 5_000))
    }
  }

  private async hear(told: Told[], isLast: (one: Told) => boolean): Promise<void> {
    const until = Date.now() + PATIENCE_MS
    while (Date.now() < until && this.surprises.length === 0) {
      await this.connect(told, AbortSignal.timeout(until - Date.now()), isLast)
      if (told.some(isLast)) return
    }
    this.surprises.push('the stream of events did not come to the end of the last run')
  }

  /** Until the connection ends, by whichever side, or what was waited for has come. */
  private async connect(told: Told[], leave: AbortSignal, isLast = (_: Told) => false): Promise<void> {
    const last = told.at(-1)
    try {
      const blocks = this.client.stream('/api/v1/events/runs', last && String(last.id), leave)
      for await (const block of blocks) {
        const one = toldIn(block)
        if (!one) continue
        told.push(one)
        if (isLast(one)) return
      }
    } catch (error) {
      if (!(error instanceof NoAnswer)) this.surprises.push((error as Error).message)
      await delay(50)
    }
  }
}

function isEnd({ event, run }: Told, id: string): boolean {
  return event === 'run.finished' && run === id
}

/** Undefined for comments, for what says only when to come again, and for a fault of the server, which ends the stream and has no id. */
function toldIn(block: string): Told | undefined {
  const fields = new Map(
    block.split('\n').map((line): [string, string] => {
      const at = line.indexOf(':')
      return [line.slice(0, at), line.slice(at + 1).trimStart()]
    }),
  )
  const [id, event, data] = [fields.get('id'), fields.get('event'), fields.get('data')]
  if (id === undefined || event === undefined || data === undefined) return undefined
  const { run_id: run, step_id: step, status } = JSON.parse(data)
  return { id: Number(id), event, run, step, status }
}
