import type { Worker } from 'node:worker_threads'
import { ScriptError } from './evaluation.js'
import type { Job, Reply, WorkerSetup } from './protocol.js'
import { compileQuickJs, startWorker } from './start-worker.js'

/** How long a worker may overstay its deadline, or an abort, before it is ended by force: native operations cannot be interrupted. */
const GRACE_MS = 250

export type SlotOptions = Omit<WorkerSetup, 'wasm' | 'abort'>

/**
 * A place for one worker, which it starts when there is work and replaces when it ends for any reason. idle -> busy (one job) -> idle.
 * A job's deadline and abort are first left to the interrupt handler inside the worker; who does not answer is terminated.
 */
export class Slot {
  busy = false
  private worker?: Worker
  private closed = false
  private nextId = 1
  private readonly abort = new SharedArrayBuffer(4)
  private readonly abortedJob = new Int32Array(this.abort)
  private giveUp?: (error: ScriptError) => void

  constructor(private readonly options: SlotOptions) {}

  /** Rejects only when the worker is gone; what the code does wrong is told in the reply. */
  async run(order: Omit<Job, 'id'>, signal?: AbortSignal): Promise<Reply> {
    this.busy = true
    try {
      const worker = this.worker ?? (await this.start())
      return await this.exchange(worker, { ...order, id: this.newId() }, signal)
    } finally {
      this.busy = false
      this.worker?.unref()
    }
  }

  async close(): Promise<void> {
    this.closed = true
    this.giveUp?.(closed())
    await this.end()
  }

  private exchange(worker: Worker, job: Job, signal?: AbortSignal): Promise<Reply> {
    return new Promise((resolve, reject) => {
      let overdue: NodeJS.Timeout
      const settle = (finish: () => void) => {
        clearTimeout(overdue)
        signal?.removeEventListener('abort', onAbort)
        worker.off('message', onMessage).off('error', onError).off('exit', onExit)
        this.giveUp = undefined
        finish()
      }
      const endBy = (milliseconds: number, error: ScriptError) => {
        clearTimeout(overdue)
        // A reply that came while this thread was busy is heard before the immediate.
        overdue = setTimeout(() => setImmediate(() => this.giveUp === giveUp && giveUp(error)), milliseconds)
      }
      const onMessage = (reply: Reply) => settle(() => resolve(reply))
      const onError = (cause: Error) => giveUp(lost(cause))
      const onExit = () => giveUp(lost())
      const onAbort = () => {
        Atomics.store(this.abortedJob, 0, job.id)
        endBy(GRACE_MS, new ScriptError('the script was stopped', 'script_aborted'))
      }
      const giveUp = (error: ScriptError) =>
        settle(() => {
          void this.end().finally(() => reject(error))
        })
      this.giveUp = giveUp
      worker.on('message', onMessage).on('error', onError).on('exit', onExit)
      worker.ref()
      worker.postMessage(job)
      endBy(
        job.timeoutMs + GRACE_MS,
        new ScriptError(`the script ran longer than ${job.timeoutMs} ms`, 'script_timeout'),
      )
      signal?.addEventListener('abort', onAbort, { once: true })
      if (signal?.aborted) onAbort()
    })
  }

  private async start(): Promise<Worker> {
    const wasm = await compileQuickJs()
    if (this.closed) throw closed()
    const worker = startWorker({ ...this.options, wasm, abort: this.abort })
    this.worker = worker
    return new Promise((resolve, reject) => {
      // For as long as it lives: an idle worker that ends is replaced at the next job.
      const onEnd = (cause?: Error) => {
        if (this.worker === worker) this.worker = undefined
        reject(this.closed ? closed() : lost(cause))
      }
      worker.on('error', onEnd).on('exit', () => onEnd())
      worker.once('message', () => resolve(worker))
    })
  }

  private async end(): Promise<void> {
    const { worker } = this
    this.worker = undefined
    await worker?.terminate()
  }

  private newId(): number {
    this.nextId = this.nextId >= 0x7fffffff ? 1 : this.nextId + 1
    return this.nextId
  }
}

function lost(cause?: Error): ScriptError {
  return new ScriptError(`the sandbox ended unexpectedly${cause ? `: ${cause.message}` : ''}`)
}

function closed(): ScriptError {
  return new ScriptError('the sandbox is closed', 'script_aborted')
}
