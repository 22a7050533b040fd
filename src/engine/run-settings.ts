import type { Json } from '../platform/json.js'

/** What a flow asks for its runs: which come first, which workers take them, and how many go on at the same time. */
export interface RunSettings {
  /** -100 to 100; of two runs that wait, the one with the higher number starts first. 0 unless said otherwise. */
  readonly priority?: number
  /** The workers that may take its runs. */
  readonly tag?: string
  readonly concurrency?: Concurrency
  /** How long a run may take from its acceptance to its end; then it fails. */
  readonly timeoutMs?: number
  /** The flow that is started with what is known of a run that failed. */
  readonly onFailFlowId?: string
}

/** At most `limit` runs of the flow go on at the same time among those with the same key. */
export interface Concurrency {
  readonly limit: number
  /** The key of a run with this input; the same text for every run where the flow names no key. */
  key(input: Json): string
}
