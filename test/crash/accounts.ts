import type { EffectEntry } from './effect-server.js'
import type { FaultEntry } from './fault-log.js'
import type { LedgerEntry } from './ledger.js'
import type { CrashRecord, OutcomeRow, RunRow } from './record.js'
import { STORIES, type Story, TICK_STAGES } from './stories.js'

/** Clocks of one machine, read by several processes. */
export const CLOCK_MS = 20
/** Until a process that was frozen, or cut off, has noticed whether it is still the owner. */
const AWAKENING_MS = 2_000

/** A request of a flow that reached the outside. */
export type Arrival = Extract<EffectEntry, { kind: 'arrived' }>

/** Requests that no recorded attempt accounts for: those that were lost on the way. `isLast` when no other of that key came after it. */
export function unaccounted({ outcomes, effects }: CrashRecord): { arrival: Arrival; isLast: boolean }[] {
  const attempts = Map.groupBy(outcomes, ({ run, path }) => `${run}:${path}`)
  const byKey = Map.groupBy(arrivals(effects), ({ key }) => key ?? '')
  return [...byKey].flatMap(([key, came]) => {
    const open = [...(attempts.get(key) ?? [])]
    return came
      .map((arrival, index) => ({ arrival, isLast: index === came.length - 1 }))
      .filter(({ arrival }) => {
        const own = open.findIndex((attempt) => spans(attempt, arrival.at))
        if (own >= 0) open.splice(own, 1)
        return own < 0
      })
  })
}

function spans({ startedAt, finishedAt }: OutcomeRow, at: number): boolean {
  return startedAt - CLOCK_MS <= at && at <= finishedAt + CLOCK_MS
}

/** When servers were prevented from going on with what they did, and from hearing of what others did. */
export function interruptionsIn(faults: readonly FaultEntry[]): { from: number; until: number }[] {
  return faults.flatMap((entry) => {
    switch (entry.kind) {
      case 'death':
        return [{ from: entry.at, until: entry.at }]
      case 'stopped':
        // What is at work is broken off between the two.
        return [{ from: entry.askedAt ?? entry.at, until: entry.at }]
      case 'cut': {
        const back =
          entry.connections === 'all' ? faults.find(({ kind, at }) => kind === 'restored' && at >= entry.at) : entry
        return [{ from: entry.at, until: (back?.at ?? entry.at) + AWAKENING_MS }]
      }
      case 'frozen': {
        const thaw = faults.find(
          (other) => other.kind === 'thawed' && other.server === entry.server && other.at > entry.at,
        )
        return [{ from: entry.at, until: (thaw?.at ?? entry.at) + AWAKENING_MS }]
      }
      default:
        return []
    }
  })
}

/** When no server was there at all. */
export function outagesIn(faults: readonly FaultEntry[]): { from: number; until: number }[] {
  const up = new Set(faults.flatMap((entry) => ('server' in entry ? [entry.server] : [])))
  const outages: { from: number; until: number }[] = []
  for (const entry of [...faults].sort((one, other) => one.at - other.at)) {
    if (!('server' in entry)) continue
    const wasUp = up.size > 0
    if (entry.kind === 'up' || entry.kind === 'thawed') up.add(entry.server)
    else up.delete(entry.server)
    const last = outages.at(-1)
    if (wasUp && up.size === 0) outages.push({ from: entry.at, until: Number.POSITIVE_INFINITY })
    else if (!wasUp && up.size > 0 && last) last.until = entry.at
  }
  return outages
}

export function accepted(ledger: readonly LedgerEntry[]): Extract<LedgerEntry, { kind: 'accepted' }>[] {
  return ledger.filter((entry) => entry.kind === 'accepted')
}

export function arrivals(effects: readonly EffectEntry[]): Arrival[] {
  return effects.filter((entry) => entry.kind === 'arrived')
}

export function storyNamed(name: string): Story | undefined {
  return STORIES.find((story) => story.name === name)
}

export function stagesOf({ story, scheduleId }: RunRow): string[][] {
  return scheduleId === null ? (storyNamed(story)?.stages ?? []) : TICK_STAGES
}
