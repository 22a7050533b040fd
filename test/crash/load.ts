import { setTimeout as delay } from 'node:timers/promises'
import { type Answer, type Client, NoAnswer } from './client.js'
import type { Ledger } from './ledger.js'
import type { Random } from './random.js'
import { SECRET, STORIES, storyOf, TICK_SECONDS } from './stories.js'

/** How long a client insists on what it has begun once the load is over. */
const LAST_PATIENCE_MS = 60_000

/** The run in the words of the API that was asked. */
export interface Started {
  execution_id?: string
  playId?: string
  run_id?: string
}

export function runIn({ execution_id, playId, run_id }: Started): string {
  return execution_id ?? playId ?? run_id ?? ''
}

/** flwd takes no shorter ones. */
function keyOf(n: number): string {
  return `order-${String(n).padStart(16, '0')}`
}

/** The request that starts a run of a story. */
export function startOf(story: string, flow: string | undefined, input: object): { path: string; body: object } {
  const { kind } = storyOf(story)
  if (kind === 'job') return { path: '/api/v1/runs', body: { job_id: story, args: { ...input, token: SECRET } } }
  if (kind === 'layers') return { path: `/api/flows/${flow}/run`, body: { args: input } }
  return { path: `/api/v1/flows/${flow}/run`, body: { input } }
}

/** The users: they start runs of every kind, signal and cancel some of them, and note what they were told. */
export class Load {
  private readonly flows = new Map<string, string>()
  private readonly open = new Set<Promise<void>>()
  private running = false
  private givesUpAt = Number.POSITIVE_INFINITY
  private number = 0
  accepted = 0
  /** Answers that no fault explains. */
  readonly surprises: string[] = []

  constructor(
    private readonly client: Client,
    private readonly ledger: Ledger,
    private readonly random: Random,
  ) {}

  /** Uploads the flows. */
  async prepare(address: string): Promise<void> {
    for (const { name, kind, definition } of STORIES) {
      if (kind === 'job') continue
      const said = definition(address)
      const { status, body } = await (kind === 'layers'
        ? this.client.insist<{ id: string }>('POST', '/api/flows', { name, layers: JSON.parse(said) })
        : this.client.insist<{ id: string }>('POST', '/api/v1/flows', { name, definition: said }))
      if (status !== 201) throw new Error(`the flow ${name} was refused: ${JSON.stringify(body)}`)
      this.flows.set(name, body.id)
    }
  }

  /** Keeps so many users busy until `stop`. */
  start(users: number): void {
    this.running = true
    const stories = STORIES.flatMap(({ name, weight }) => Array.from({ length: weight }, () => name))
    for (let user = 0; user < users; user++) {
      const random = this.random.fork(`user ${user}`)
      this.track(async () => {
        while (this.running) {
          await this.tell(random.pick(stories), random)
          await delay(random.between(50, 400))
        }
      })
    }
  }

  /** Asks for nothing new, and resolves when what was begun is settled or given up. */
  async stop(): Promise<void> {
    this.running = false
    this.givesUpAt = Date.now() + LAST_PATIENCE_MS
    while (this.open.size > 0) await Promise.all(this.open)
  }

  async schedule(name: string): Promise<void> {
    await this.accept('schedule', { schedule: name })
    await this.ledger.append({ kind: 'scheduled', at: Date.now(), schedule: name, everySeconds: TICK_SECONDS })
  }

  async unschedule(name: string): Promise<void> {
    await this.accept('unschedule', { schedule: name })
    await this.ledger.append({ kind: 'unscheduled', at: Date.now(), schedule: name })
  }

  /** Starts a run of the lightest kind; resolves once it is accepted. */
  async light(): Promise<string | undefined> {
    return (await this.accept('light', {}))?.run
  }

  private async tell(story: string, random: Random): Promise<void> {
    const told = await this.accept(story, {})
    if (!told) return
    if (story === 'signal') this.later(random.between(0, 3_000), () => this.signal(told.run, `go-${told.n}`))
    if (story === 'cancel') this.later(random.between(50, 1_500), () => this.cancel(told.run))
    if (story === 'job-cancel') this.later(random.between(50, 1_500), () => this.cancel(told.run))
    if (story === 'approval') this.later(random.between(0, 1_000), () => this.decide(told.run, random.chance(0.5)))
  }

  /** Asks until it is told the run; undefined when it gave up. */
  private async accept(story: string, input: object): Promise<{ run: string; n: number } | undefined> {
    const n = ++this.number
    const key = keyOf(n)
    await this.ledger.append({ kind: 'asked', at: Date.now(), key, story, n })
    const { path, body } = startOf(story, this.flows.get(story), {
      n,
      ...storyOf(story).input?.(n, this.flows),
      ...input,
    })
    const answer = await this.insist<Started>('POST', path, body, key)
    if (!answer) return undefined
    if (answer.status >= 300) throw new Error(`${story} was refused: ${JSON.stringify(answer.body)}`)
    const run = runIn(answer.body)
    await this.ledger.append({ kind: 'accepted', at: Date.now(), key, run, status: answer.status })
    this.accepted++
    return { run, n }
  }

  private async signal(run: string, signal: string): Promise<void> {
    const answer = await this.insist('POST', `/api/v1/signals/${signal}`, { data: { signal } })
    if (answer) await this.ledger.append({ kind: 'signalled', at: Date.now(), run, signal })
  }

  /** Two who do not agree, at the same time, once there is something to decide. */
  private async decide(run: string, approvesFirst: boolean): Promise<void> {
    for (;;) {
      const found = await this.insist<{ state: string; completedAt: string | null }>('GET', `/api/plays/${run}`)
      if (!found || found.body.completedAt !== null) return
      if (found.body.state === 'WAIT') break
      await delay(100)
    }
    await Promise.all(
      [approvesFirst, !approvesFirst].map(async (approved) => {
        const body = { layerId: 'gate', decision: approved ? 'approved' : 'declined' }
        const answer = await this.insist('POST', `/api/plays/${run}/approve`, body)
        if (answer) await this.ledger.append({ kind: 'decided', at: Date.now(), run, approved, status: answer.status })
      }),
    )
  }

  private async cancel(run: string): Promise<void> {
    const answer = await this.insist('DELETE', `/api/v1/executions/${run}`)
    if (!answer) return
    // A conflict says that it has ended: by an earlier request whose answer was lost, or by itself.
    const found =
      answer.status === 409 ? await this.insist<{ status: string }>('GET', `/api/v1/executions/${run}`) : undefined
    if (answer.status !== 409 || found?.body.status === 'cancelled')
      await this.ledger.append({ kind: 'cancelled', at: Date.now(), run })
    else if (found) await this.ledger.append({ kind: 'cancel-refused', at: Date.now(), run })
  }

  private async insist<T>(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: object,
    key?: string,
  ): Promise<Answer<T> | undefined> {
    try {
      return await this.client.insist<T>(method, path, body, { key, goOn: () => Date.now() < this.givesUpAt })
    } catch (error) {
      if (error instanceof NoAnswer) return undefined
      throw error
    }
  }

  private later(ms: number, act: () => Promise<void>): void {
    this.track(async () => {
      await delay(ms)
      await act()
    })
  }

  private track(work: () => Promise<void>): void {
    const promise = work()
      .catch((error: Error) => void this.surprises.push(error.message))
      .finally(() => this.open.delete(promise))
    this.open.add(promise)
  }
}
