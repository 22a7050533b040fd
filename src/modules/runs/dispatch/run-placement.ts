import type { RunSettings } from '../../../engine/run-settings.js'
import type { Json } from '../../../platform/json.js'
import { RevisionUnusable } from '../../flows/flows.errors.js'
import type { FlowsService } from '../../flows/flows.service.js'
import type { NewRun } from '../journal/records.js'

/** Where a run stands among others. */
export type RunPlacement = Pick<NewRun, 'priority' | 'tag' | 'concurrency'>

/** The same for a revision; where that can never be run, as it will say itself, it stands anywhere. */
export async function placementIn(
  flows: Pick<FlowsService, 'graph'>,
  flowId: string,
  revision: number,
  input: Json,
): Promise<RunPlacement> {
  try {
    return placementOf(flowId, (await flows.graph(flowId, revision)).settings, input)
  } catch (error) {
    if (error instanceof RevisionUnusable) return {}
    throw error
  }
}

/** Where a run of this flow with this input is to stand, as the flow asks. Keys of different flows are different keys. */
export function placementOf(flowId: string, settings: RunSettings | undefined, input: Json): RunPlacement {
  const { priority, tag, concurrency } = settings ?? {}
  if (!concurrency) return { priority, tag }
  return { priority, tag, concurrency: { key: `${flowId}:${concurrency.key(input)}`, limit: concurrency.limit } }
}
