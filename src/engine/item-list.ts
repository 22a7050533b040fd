import { isDeepStrictEqual } from 'node:util'
import { isJsonObject, type Json, type JsonObject } from '../platform/json.js'
import { type Begun, succeeded } from './outcomes.js'
import { parametersOf } from './parameters.js'
import { itemsPath } from './path.js'
import { plainJson } from './plain.js'
import { StepError, type StepType } from './step.js'
import { UserCode } from './user-code.js'
import type { Workbench } from './workbench.js'

/** Items of one batch or loop. Each leaves an outcome in the journal: 100,000 small ones take some 5 s and 20 MB. */
const MOST_ITEMS = 100_000

/**
 * The list that a batch or a loop works on. One that had to be computed is recorded before the first item starts, since its code might
 * answer differently after a crash, and outcomes of one list must not be taken for those of another. A list that holds secrets is not kept
 * as it is, so it is computed again and has to come out the same.
 */
export async function itemsFor(bench: Workbench, type: StepType, begun: Begun, signal: AbortSignal): Promise<Json[]> {
  const items = await listFor(bench, type, begun, signal)
  if (items.length > MOST_ITEMS) throw unusable(`a batch may have at most ${MOST_ITEMS} items, not ${items.length}`)
  return items
}

async function listFor(bench: Workbench, type: StepType, begun: Begun, signal: AbortSignal): Promise<Json[]> {
  const { node } = begun
  const { items: template } = parametersOf(node, type, bench.language)
  if (!template) return itemsOf(bench.memory.input)
  const path = itemsPath(begun.path)
  const kept = bench.history.take(path)?.output as KeptItems | undefined
  if (kept?.exact) return itemsOf(kept.items)
  const { value, computed } = await new UserCode(bench, { node, signal }).render(template)
  const items = itemsOf(plainJson(value.items))
  if (!computed) return items
  const masked = bench.host.mask(items)
  if (kept && !isDeepStrictEqual(masked, kept.items))
    throw unusable('the list of this batch holds secrets and came out differently after an interruption')
  const output: KeptItems = { items: masked, exact: isDeepStrictEqual(masked, items) }
  if (kept) return items
  bench.budget.spend(output)
  bench.ledger.record(succeeded({ ...begun, path }, { output }, bench.host.clock.now()))
  return items
}

/** A computed list as it is recorded: masked, and whether that changed anything. */
interface KeptItems extends JsonObject {
  items: Json[]
  exact: boolean
}

/** The items of a batch: a list, or the list under `items` or `body` of an object. */
function itemsOf(source: Json): Json[] {
  if (Array.isArray(source)) return source
  if (isJsonObject(source)) {
    if (Array.isArray(source.items)) return source.items
    if (Array.isArray(source.body)) return source.body
    if (isJsonObject(source.body) && Array.isArray(source.body.items)) return source.body.items
  }
  throw unusable('a batch needs a list: set params.items, or let the previous node return one')
}

function unusable(message: string): StepError {
  return new StepError(message, { code: 'batch_items', retryable: false })
}
