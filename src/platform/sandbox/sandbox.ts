import { availableParallelism } from 'node:os'
import { FairQueue } from '../fairness/fair-queue.js'
import { type Evaluation, type EvaluationResult, ScriptError } from './evaluation.js'
import type { Reply } from './protocol.js'
import { reachableScope } from './reach.js'
import { Slot, type SlotOptions } from './slot.js'

export interface SandboxOptions {
  /** Default: one less than the cores, but at least two. */
  workers?: number
  /** Workers that one tenant may hold at once. Default: all but one, so that its slow scripts leave a way for the others. */
  workersPerTenant?: number
  /** What all scripts of one evaluation together may take. */
  timeoutMs: number
  /** At least 16. */
  memoryMb: number
  /** Evaluations that may wait; more are refused with `script_busy`. */
  maxWaiting?: number
  /** Characters of variables that waiting evaluations may hold. */
  maxWaitingChars?: number
  /** Characters of JSON that all results of one evaluation may have. Default: 8 Mi. */
  maxResultChars?: number
}

export interface EvaluateOptions {
  tenant: string
  timeoutMs?: number
  signal?: AbortSignal
}

/** The part of what may wait that one tenant may fill; the rest is for others. */
const SHARE_OF_WAITING = 0.9

interface Waiting {
  tenant: string
  evaluation: Evaluation
  scope: string
  timeoutMs: number
  signal?: AbortSignal
  forget(): void
  resolve(result: EvaluationResult): void
  reject(error: Error): void
}

/**
 * Runs users' JavaScript in QuickJS instances inside worker threads: no host object is within reach, memory and time are limited, and
 * the main thread stays free. Tenants take turns.
 */
export class Sandbox {
  private readonly slots: Slot[]
  private readonly queue = new FairQueue<Waiting>()
  private readonly running = new Map<string, number>()
  private readonly perTenant: number
  private waitingChars = 0
  private readonly charsOf = new Map<string, number>()
  /** Evaluations that have ended, by what came of them: `ok`, or the code of the error. */
  readonly counts = { ok: 0, script_error: 0, script_timeout: 0, script_memory: 0, script_aborted: 0, script_busy: 0 }
  private closed = false

  constructor(private readonly options: SandboxOptions) {
    const workers = options.workers ?? Math.max(2, availableParallelism() - 1)
    this.perTenant = options.workersPerTenant ?? Math.max(1, workers - 1)
    const each: SlotOptions = {
      memoryMb: options.memoryMb,
      maxResultChars: options.maxResultChars ?? 8 * 1024 * 1024,
      warmTenants: 4,
    }
    this.slots = Array.from({ length: workers }, () => new Slot(each))
  }

  /** Evaluations that wait for a worker. */
  get waiting(): number {
    return this.queue.size
  }

  /** Workers that evaluate. */
  get busy(): number {
    return this.slots.filter((slot) => slot.busy).length
  }

  /** Throws `ScriptError` when the code fails, meets a limit or is aborted. */
  evaluate(evaluation: Evaluation, { tenant, timeoutMs, signal }: EvaluateOptions): Promise<EvaluationResult> {
    if (this.closed) return Promise.reject(new ScriptError('the sandbox is closed', 'script_aborted'))
    if (signal?.aborted) return Promise.reject(new ScriptError('the script was stopped', 'script_aborted'))
    if (this.isFull(tenant)) {
      this.counts.script_busy++
      return Promise.reject(new ScriptError('too many scripts are waiting; try again later', 'script_busy'))
    }
    return new Promise((resolve, reject) => {
      const scope = JSON.stringify(reachableScope(evaluation))
      const waiting: Waiting = {
        tenant,
        evaluation,
        scope,
        timeoutMs: timeoutMs ?? this.options.timeoutMs,
        signal,
        forget: () => signal?.removeEventListener('abort', leave),
        resolve,
        reject,
      }
      const leave = () => {
        if (!this.queue.delete(tenant, waiting)) return
        this.hold(tenant, -scope.length)
        reject(new ScriptError('the script was stopped', 'script_aborted'))
      }
      signal?.addEventListener('abort', leave, { once: true })
      this.queue.push(tenant, waiting)
      this.hold(tenant, scope.length)
      this.dispatch()
    })
  }

  /** Stops running scripts, refuses waiting ones and ends the workers. */
  async close(): Promise<void> {
    this.closed = true
    for (const waiting of this.queue.clear()) {
      waiting.forget()
      waiting.reject(new ScriptError('the sandbox is closed', 'script_aborted'))
    }
    await Promise.all(this.slots.map((slot) => slot.close()))
  }

  private isFull(tenant: string): boolean {
    const { maxWaiting = 10_000, maxWaitingChars = 256 * 1024 * 1024 } = this.options
    if (this.queue.size >= maxWaiting || this.waitingChars >= maxWaitingChars) return true
    if (this.queue.sizeOf(tenant) >= Math.ceil(maxWaiting * SHARE_OF_WAITING)) return true
    return (this.charsOf.get(tenant) ?? 0) >= maxWaitingChars * SHARE_OF_WAITING
  }

  private hold(tenant: string, chars: number): void {
    this.waitingChars += chars
    const held = (this.charsOf.get(tenant) ?? 0) + chars
    if (held > 0) this.charsOf.set(tenant, held)
    else this.charsOf.delete(tenant)
  }

  private dispatch(): void {
    for (const slot of this.slots) {
      if (slot.busy) continue
      const waiting = this.queue.shift((tenant) => (this.running.get(tenant) ?? 0) < this.perTenant)
      if (!waiting) return
      void this.runOn(slot, waiting)
    }
  }

  private async runOn(slot: Slot, waiting: Waiting): Promise<void> {
    const { tenant, evaluation, scope, timeoutMs, signal } = waiting
    this.hold(tenant, -scope.length)
    waiting.forget()
    this.running.set(tenant, (this.running.get(tenant) ?? 0) + 1)
    try {
      const { scripts, capture = [] } = evaluation
      const order = {
        tenant,
        scripts: scripts.map(({ code, form }) => ({ code, form })),
        scope,
        capture: [...capture],
        timeoutMs,
      }
      const result = resultOf(await slot.run(order, signal))
      this.counts.ok++
      waiting.resolve(result)
    } catch (error) {
      this.counts[error instanceof ScriptError ? error.code : 'script_error']++
      // A reply that cannot be read comes from an instance that was corrupted, and was thrown away.
      waiting.reject(error instanceof ScriptError ? error : new ScriptError('the script broke its sandbox'))
    } finally {
      const left = (this.running.get(tenant) ?? 1) - 1
      if (left > 0) this.running.set(tenant, left)
      else this.running.delete(tenant)
      if (!this.closed) this.dispatch()
    }
  }
}

function resultOf(reply: Reply): EvaluationResult {
  if (!reply.ok) throw new ScriptError(reply.message, reply.code, reply.console)
  return { values: JSON.parse(reply.values), captured: JSON.parse(reply.captured), console: reply.console }
}
