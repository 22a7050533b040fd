import type { AppendLog } from './append-log.js'

/** What the load generator asked for and was told, in the order in which it was written down. Times are of the wall clock, in ms. */
export type LedgerEntry =
  /** Written before the request leaves. */
  | { kind: 'asked'; at: number; key: string; story: string; n: number }
  /** Written once a 2xx has come: from here on the run must not be lost. */
  | { kind: 'accepted'; at: number; key: string; run: string; status: number }
  | { kind: 'cancelled'; at: number; run: string }
  /** The cancel came after the end. */
  | { kind: 'cancel-refused'; at: number; run: string }
  /** A word on a step that waits for one. Of all those of a run one is answered with 200. */
  | { kind: 'decided'; at: number; run: string; approved: boolean; status: number }
  | { kind: 'signalled'; at: number; run: string; signal: string }
  | { kind: 'scheduled'; at: number; schedule: string; everySeconds: number }
  | { kind: 'unscheduled'; at: number; schedule: string }

export type Ledger = AppendLog<LedgerEntry>
