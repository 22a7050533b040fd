import type { Json } from '../platform/json.js'

/** What a flow asks for its runs: which come first, which workers take them, and how many go on at the same time. */
export interface RunSettings {
  /** -100 to 100; of two runs that wait, the one with the higher number starts first. 0 unless said otherwise. */
  readonly priority?: number
  /** The workers that may take its runs. */
  readonly tag?: string
  readonly concurrency?: Concurrency
}

/** At most `limit` runs of the flow go on at the same time among those with the same key. */
export interface Concurrency {
  readonly limit: number
  /** The key of a run with this input; the same text for every run where the flow names no key. */
  key(input: Json): string
}

/** What a flow's settings come to for one run, as it is accepted. */
export interface RunTerms {
  priority?: number
  tag?: string
  concurrency?: { key: string; limit: number }
}

/** The key that is kept is the flow's own: what two flows of an account call the same is not the same. */
export function termsOf(settings: RunSettings | undefined, flowId: string, input: Json): RunTerms {
  const { concurrency, ...rest } = settings ?? {}
  if (!concurrency) return rest
  return { ...rest, concurrency: { key: `${flowId}:${concurrency.key(input)}`, limit: concurrency.limit } }
}
