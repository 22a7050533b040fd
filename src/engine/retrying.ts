import { Attempt, type AttemptOf } from './attempt.js'
import type { GraphNode } from './graph.js'
import type { StepOutcome } from './host.js'
import { fromHost, Interruption } from './interruption.js'
import { actionOf, failed, flowError, succeeded } from './outcomes.js'
import { StepError } from './step.js'
import type { Workbench } from './workbench.js'

/**
 * Takes a step, or one item of a batch, through its attempts until one succeeds or none is left, going on where the journal left off. A
 * failed attempt is recorded together with the time of the next. The final outcome is not recorded here. Throws when the run is
 * stopped, parked or interrupted: then there is no outcome.
 */
export async function attempts(bench: Workbench, of: Omit<AttemptOf, 'attempt'>): Promise<StepOutcome> {
  const { host, ledger } = bench
  const { node, type, path, signal } = of
  const before = bench.history.lastRetry(path)
  if (before?.dueAt) await untilRetry(bench, of, before.attempt, before.dueAt)
  for (let attempt = (before?.attempt ?? 0) + 1; ; attempt++) {
    // What a crash may repeat unseen need not wait for the journal.
    if (type.stepClass === 'pure') await ledger.room()
    else await ledger.durable()
    signal.throwIfAborted()
    const begun = { node, path, attempt, startedAt: host.clock.now() }
    try {
      const result = await new Attempt(bench, { ...of, attempt }).run()
      return succeeded(begun, result, host.clock.now())
    } catch (error) {
      if (error instanceof Interruption || signal.aborted) throw error
      const now = host.clock.now()
      const { output, ...words } = flowError(node, error, host)
      const isLast = !mayRetry(node, attempt, error)
      // What a failure carries is for the node behind the error edge, so only the last attempt's is kept.
      const carried = isLast && bench.budget.affords(output) ? output : undefined
      const outcome = failed(begun, { ...words, output: carried }, actionOf(error, host), now)
      if (isLast) return outcome
      const dueAt = new Date(now.getTime() + (node.retry?.waitMs ?? 0))
      ledger.record({ ...outcome, state: 'retrying', dueAt })
      const message = `Attempt ${attempt} of ${node.retry?.maxAttempts} failed: ${outcome.error?.message}`
      bench.voice.log(node, 'warn', message)
      await untilRetry(bench, of, attempt, dueAt)
    }
  }
}

function mayRetry(node: GraphNode, attempt: number, error: unknown): boolean {
  if (error instanceof StepError && !error.retryable) return false
  return attempt < (node.retry?.maxAttempts ?? 1)
}

function untilRetry(
  { host }: Workbench,
  { path, item, signal }: Omit<AttemptOf, 'attempt'>,
  attempt: number,
  dueAt: Date,
): Promise<void> {
  return fromHost(host.sleep({ path, attempt, ordinal: 0, kind: 'retry', dueAt, mayPark: item === undefined }, signal))
}
