import type { AppendLog } from './append-log.js'

export const FAULTS = [
  'kill api',
  'kill worker',
  'kill all',
  'kill during recovery',
  'freeze',
  'restart postgres',
  'cut journal',
  'cut lease',
  'cut log',
  'rolling restart',
  'kill redis',
  'flush redis',
  'freeze redis',
] as const

export type FaultName = (typeof FAULTS)[number]

/** What was done to the servers and what became of them. Times are of the wall clock, in ms. */
export type FaultEntry =
  | { kind: 'fault'; at: number; name: FaultName }
  /** A process ended by SIGKILL; `cause` is the fault, or `point:…` where it was armed to end by itself. */
  | { kind: 'death'; at: number; server: string; cause: string }
  /** From `at` on it stood still, or its database was away. */
  | { kind: 'frozen'; at: number; server: string }
  | { kind: 'thawed'; at: number; server: string }
  /** Connections of servers were cut: by name, or all of them. */
  | { kind: 'cut'; at: number; connections: string }
  /** The database serves again. */
  | { kind: 'restored'; at: number }
  /** It was asked to end and did so, or had to be killed after a while. */
  | { kind: 'stopped'; at: number; server: string; code: number | null; askedAt?: number }
  | { kind: 'up'; at: number; server: string }

export type FaultLog = AppendLog<FaultEntry>
