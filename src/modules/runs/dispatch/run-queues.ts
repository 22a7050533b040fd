import type { Queue, QueueOptions } from 'bull'
import type { Redis } from 'ioredis'
import type { HandedRun } from '../worker/taken-run.js'
import { type QueueConnections, ready } from './queue-connections.js'

/** How long a queue may take to end its last jobs. */
const CLOSE_MS = 2_000

/**
 * How Bull keeps the queues. Its jobs are hand-overs and nothing else: what happens with a run is decided by its row, so Bull never tries
 * one again. A job whose lock ran out, after 30 s without a sign of its process, is dropped (`maxStalledCount` 0); the sweep of the
 * table hands its run over anew. Looking for such jobs costs a pass over those that are being worked on, hence every 30 s.
 */
export const QUEUE_OPTIONS = {
  prefix: 'millrace',
  defaultJobOptions: { attempts: 1, removeOnComplete: true, removeOnFail: true },
  settings: {
    lockDuration: 30_000,
    stalledInterval: 30_000,
    maxStalledCount: 0,
    retryProcessDelay: 1_000,
    drainDelay: 5,
  },
} satisfies QueueOptions

/** The queues of this process; absent without Redis. */
export const RUN_QUEUES = Symbol('run queues')

/** Whether this process works on what is in the queues, and does not only add to them. */
export const TAKES_FROM_QUEUES = Symbol('takes from queues')

/**
 * The Bull queues of worker tags, each opened when it is first met. Whoever adds to them is answered within seconds, though Redis be away:
 * with an error.
 */
export class RunQueues {
  private readonly queues = new Map<string, Promise<Queue<HandedRun>>>()
  private closing = false

  constructor(
    readonly connections: QueueConnections,
    /** Whether this process works on what is in the queues of its tags. */
    readonly areTaken: boolean,
    private readonly open: (name: string) => Promise<Queue<HandedRun>>,
  ) {}

  get isOpen(): boolean {
    return !this.closing && this.connections.isOpen
  }

  /** Hands runs over; one that waits in the queue already stays where it is. False when Redis did not take them, or perhaps did not. */
  async add(tag: string, runs: readonly HandedRun[]): Promise<boolean> {
    const queue = await this.queue(tag)
    if (!this.isOpen) return false
    try {
      await this.addTo(queue, runs)
      return true
    } catch (error) {
      this.connections.failed(error)
      return false
    }
  }

  private async addTo(queue: Queue<HandedRun>, runs: readonly HandedRun[]): Promise<void> {
    const jobs = await queue.addBulk(
      // One job for each segment of a run.
      runs.map(({ runId, epoch }) => ({ data: { runId, epoch }, opts: { jobId: `${runId}.${epoch}` } })),
    )
    // What Redis refuses in the middle of it is not reported otherwise.
    if (jobs.some(({ id }) => !id)) throw new Error('Redis refused a hand-over')
  }

  /** Calls `work` for each run that is handed over, at most `places` at the same time, as soon as Redis is there. */
  async take(tag: string, places: number, work: (run: HandedRun) => Promise<void>): Promise<void> {
    const queue = await this.queue(tag)
    // Bull names the connection that waits as soon as it processes, and nobody hears of it when that fails.
    await ready((queue as unknown as { bclient: Redis }).bclient)
    await queue.process(places, (job) => work(job.data))
  }

  /** Takes nothing more; what is under way goes on. */
  pause(): void {
    for (const opening of this.queues.values()) opening.then((queue) => queue.pause(true, true)).catch(() => {})
  }

  /** Ends the jobs whose work has ended, and the connections. */
  async close(): Promise<void> {
    this.closing = true
    let late: NodeJS.Timeout | undefined
    const closed = Promise.allSettled([...this.queues.values()].map(async (queue) => await (await queue).close()))
    await Promise.race([closed, new Promise((resolve) => (late = setTimeout(resolve, CLOSE_MS)))])
    clearTimeout(late)
    this.connections.close()
  }

  private queue(tag: string): Promise<Queue<HandedRun>> {
    const known = this.queues.get(tag) ?? this.opened(tag)
    this.queues.set(tag, known)
    return known
  }

  private async opened(tag: string): Promise<Queue<HandedRun>> {
    const queue = await this.open(`runs.${tag}`)
    // The connections tell of outages, and a lost job is handed over anew.
    queue.on('error', () => {})
    return queue
  }
}
