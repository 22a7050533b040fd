import { monotonicFactory } from 'ulid'

const next = monotonicFactory()

/** The kinds of rows that carry an id of their own; the word is the id's prefix on every surface. */
export type IdPrefix =
  | 'tenant'
  | 'account'
  | 'token'
  | 'flow'
  | 'run'
  | 'engine'
  | 'schedule'
  | 'signal'
  | 'audit'
  | 'req'

/** A new opaque id such as `run_01HX…`: a ULID behind its prefix, so that ids sort by the time of their making. */
export function newId(prefix: IdPrefix): string {
  return `${prefix}_${next()}`
}
