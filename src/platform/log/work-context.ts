import { AsyncLocalStorage } from 'node:async_hooks'

/** What log lines of work that outlives its request say of themselves. */
export interface WorkContext {
  readonly runId: string
  /** The request that the work came from, where this process served it. */
  readonly requestId?: string
  readonly traceId?: string
}

const storage = new AsyncLocalStorage<WorkContext>()

/** Within `work` this context stands for that of whichever request happened to wake it. */
export function inWork<T>(context: WorkContext, work: () => T): T {
  return storage.run(context, work)
}

export function workContext(): WorkContext | undefined {
  return storage.getStore()
}
