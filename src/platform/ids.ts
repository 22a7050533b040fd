import { randomFillSync } from 'node:crypto'
import { decodeTime, encodeTime, monotonicFactory } from 'ulid'

/** Random bytes that are fetched at once: one call for each of an id's 16 letters was 2 % of a busy server's time. */
const pool = new Uint8Array(4_096)
let used = pool.length

const next = monotonicFactory(random)

/** The kinds of rows that carry an id of their own; the word is the id's prefix on every surface. */
export type IdPrefix =
  | 'approval'
  | 'tenant'
  | 'account'
  | 'token'
  | 'key'
  | 'flow'
  | 'layer'
  | 'run'
  | 'engine'
  | 'schedule'
  | 'channel'
  | 'route'
  | 'signal'
  | 'audit'
  | 'group'
  | 'kv'
  | 'job'
  | 'artifact'
  | 'provider'
  | 'upload'
  | 'req'

/** A new opaque id such as `run_01HX…`: a ULID behind its prefix, so that ids sort by the time of their making. */
export function newId(prefix: IdPrefix): string {
  return `${prefix}_${next()}`
}

/** A number from 0 to below 1. Ids have 32 letters, so a byte tells which, each as likely as any other. */
function random(): number {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  return (pool[used++] as number) / 256
}

/** When an id was made, in milliseconds since the epoch. */
export function timeOf(id: string): number {
  return decodeTime(id.slice(id.indexOf('_') + 1))
}

/** What sorts before every id that was made at this time or later, in milliseconds since the epoch. */
export function idsSince(prefix: IdPrefix, time: number): string {
  return `${prefix}_${encodeTime(Math.max(0, Math.floor(time)))}`
}
