import type { RunSettings } from '../../engine/run-settings.js'
import type { Json } from '../../platform/json.js'
import type { NewRun } from './journal/records.js'

/** Where a run stands among others. */
export type RunPlacement = Pick<NewRun, 'priority' | 'tag' | 'concurrency'>

/** Where a run of this flow with this input is to stand, as the flow asks. Keys of different flows are different keys. */
export function placementOf(flowId: string, settings: RunSettings | undefined, input: Json): RunPlacement {
  const { priority, tag, concurrency } = settings ?? {}
  if (!concurrency) return { priority, tag }
  return { priority, tag, concurrency: { key: `${flowId}:${concurrency.key(input)}`, limit: concurrency.limit } }
}
