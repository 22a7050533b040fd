import type { JsonObject } from '../platform/json.js'
import type { History } from './history.js'
import type { Host } from './host.js'
import type { ItemPlaces } from './item-places.js'
import type { Language } from './language.js'
import type { Ledger } from './ledger.js'
import type { OutputBudget } from './output-budget.js'
import type { RunMemory } from './run-memory.js'
import type { StepType } from './step.js'
import type { Voice } from './voice.js'

/** Says what is wrong with parameters whose expressions are evaluated; empty when nothing is. */
export type ParamsCheck = (type: StepType, params: JsonObject) => string[]

/** What the parts of one interpretation share. */
export interface Workbench {
  readonly host: Host
  readonly language: Language
  readonly checkParams: ParamsCheck
  readonly history: History
  readonly memory: RunMemory
  readonly ledger: Ledger
  readonly budget: OutputBudget
  readonly voice: Voice
  /** Shared with all others. */
  readonly places: ItemPlaces
}
