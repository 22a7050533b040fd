import { isJsonObject, type Json } from '../platform/json.js'
import type { GraphNode } from './graph.js'
import { StepError } from './step.js'

/** The items of a batch: a list, or the list under `items` or `body` of an object. */
export function itemsOf(source: Json): Json[] {
  if (Array.isArray(source)) return source
  if (isJsonObject(source)) {
    if (Array.isArray(source.items)) return source.items
    if (Array.isArray(source.body)) return source.body
    if (isJsonObject(source.body) && Array.isArray(source.body.items)) return source.body.items
  }
  throw new StepError('a batch needs a list: set params.items, or let the previous node return one', {
    code: 'batch_items',
    retryable: false,
  })
}

/**
 * Does `work` for every item, at most `maxParallel` at a time, and returns the outputs in the items' order. The first failure stops the
 * rest: no further item starts, and those in flight are aborted and waited for.
 */
export async function runBatch(
  node: GraphNode,
  items: readonly Json[],
  signal: AbortSignal,
  work: (item: Json, index: number, signal: AbortSignal) => Promise<Json>,
): Promise<Json[]> {
  const outputs: Json[] = new Array(items.length).fill(null)
  const siblings = new AbortController()
  const either = AbortSignal.any([signal, siblings.signal])
  let failure: { error: unknown } | undefined
  let next = 0
  const lane = async () => {
    while (next < items.length && !either.aborted) {
      const index = next++
      try {
        outputs[index] = await work(items[index] ?? null, index, either)
      } catch (error) {
        failure ??= { error }
        siblings.abort(error)
      }
    }
  }
  const lanes = node.batch?.strategy === 'serial' ? 1 : (node.batch?.maxParallel ?? 1)
  await Promise.all(Array.from({ length: Math.min(lanes, items.length) }, lane))
  if (failure) throw failure.error
  signal.throwIfAborted()
  return outputs
}
