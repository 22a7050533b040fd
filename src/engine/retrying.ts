import { Attempt, type AttemptOf } from './attempt.js'
import type { GraphNode } from './graph.js'
import type { StepOutcome } from './host.js'
import { fromHost, Interruption } from './interruption.js'
import { actionOf, failed, flowError, unknown } from './outcomes.js'
import { StepError } from './step.js'
import type { Workbench } from './workbench.js'

/** A step, or one item of a batch, without regard to its attempts. */
export type AttemptsOf = Omit<AttemptOf, 'attempt' | 'startedAt'>

/**
 * Takes a step, or one item of a batch, through its attempts until one succeeds or none is left, going on where the journal left off. A
 * failed attempt is recorded together with the time of the next. The final outcome is not recorded here. Throws when the run is
 * stopped, parked or interrupted: then there is no outcome.
 */
export async function attempts(bench: Workbench, of: AttemptsOf): Promise<StepOutcome> {
  const { host, ledger } = bench
  const { node, path, signal, noMore = signal } = of
  const lost = lostAttempt(bench, node, path)
  if (lost) return lost
  const before = bench.history.lastRetry(path)
  if (before?.dueAt) await untilRetry(bench, of, before.attempt, before.dueAt)
  for (let attempt = (before?.attempt ?? 0) + 1; ; attempt++) {
    noMore.throwIfAborted()
    const begun = { node, path, attempt, startedAt: host.clock.now() }
    try {
      return await new Attempt(bench, { ...of, ...begun }).run()
    } catch (error) {
      if (error instanceof Interruption || signal.aborted || error === noMore.reason) throw error
      const now = host.clock.now()
      const { output, ...words } = flowError(node, error, host)
      const isLast = !mayRetry(node, attempt, error)
      // What a failure carries is for the node behind the error edge, so only the last attempt's is kept.
      const carried = isLast && bench.budget.affords(output) ? output : undefined
      const outcome = failed(begun, { ...words, output: carried }, actionOf(error, host), now)
      if (isLast && !noMore.aborted) return outcome
      const dueAt = new Date(now.getTime() + waitOf(node, attempt))
      // Also where none follows any more: what is known to have failed shall not be unknown to a run that starts again from here.
      ledger.record({ ...outcome, state: 'retrying', dueAt })
      noMore.throwIfAborted()
      const message = `Attempt ${attempt} of ${node.retry?.maxAttempts} failed: ${outcome.error?.message}`
      bench.voice.log(node, 'warn', message)
      await untilRetry(bench, of, attempt, dueAt)
    }
  }
}

/** The outcome of an attempt that must not be repeated and that a crash took before it had any. */
export function lostAttempt({ history, host }: Workbench, node: GraphNode, path: string): StepOutcome | undefined {
  const opened = history.lost(path)
  return opened && unknown({ node, ...opened }, host.clock.now())
}

function mayRetry(node: GraphNode, attempt: number, error: unknown): boolean {
  if (error instanceof StepError && !error.retryable) return false
  return attempt < (node.retry?.maxAttempts ?? 1)
}

/** A day: what grows with every attempt ends there. */
const LONGEST_WAIT_MS = 86_400_000

function waitOf({ retry }: GraphNode, attempt: number): number {
  if (!retry) return 0
  const { waitMs, backoff = 1, jitter: [least, most] = [1, 1] } = retry
  const wait = waitMs * backoff ** (attempt - 1) * (least + Math.random() * (most - least))
  return Math.round(Math.min(wait, LONGEST_WAIT_MS))
}

function untilRetry(
  { host }: Workbench,
  { path, item, signal, noMore = signal }: AttemptsOf,
  attempt: number,
  dueAt: Date,
): Promise<void> {
  return fromHost(host.sleep({ path, attempt, ordinal: 0, kind: 'retry', dueAt, mayPark: item === undefined }, noMore))
}
