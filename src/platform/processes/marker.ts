import { randomBytes } from 'node:crypto'
import { readlinkSync } from 'node:fs'
import { readStat } from './proc-fs.js'

/** The variable by which the processes of a step are found, whatever became of the server that started them. */
export const MARKER = 'MILLRACE_PROCESS'

/**
 * Who started a process, in the words of its marker: `4026531836.812.95541_0f3a…_run_01J…`. The server is named by its namespace of
 * process ids, its id there and the moment of its start, so that a server that is gone is known although another has its id.
 */
export interface Mark {
  server: string
  /** Of one step, different each time. */
  nonce: string
  run: string
}

let self: string | undefined

/** This server. */
export function serverIdentity(): string {
  self ??= `${pidNamespace()}.${process.pid}.${readStat(process.pid)?.startedAt ?? 0}`
  return self
}

export function newMark(run: string): Mark {
  return { server: serverIdentity(), nonce: randomBytes(8).toString('hex'), run }
}

export function spelled({ server, nonce, run }: Mark): string {
  return `${server}_${nonce}_${run.replace(/[^\w-]/g, '')}`
}

export function parsedMark(text: string): Mark | undefined {
  const [, server, nonce, run] = /^(\d+\.\d+\.\d+)_([0-9a-f]{16})_([\w-]*)$/.exec(text) ?? []
  return server && nonce ? { server, nonce, run: run ?? '' } : undefined
}

/** The mark in a process's environment, where this process may read that. */
export function markIn(environment: string): Mark | undefined {
  const at = `\0${environment}`.indexOf(`\0${MARKER}=`)
  if (at < 0) return undefined
  const from = at + MARKER.length + 1
  const end = environment.indexOf('\0', from)
  return parsedMark(environment.slice(from, end < 0 ? undefined : end))
}

/** True for a server of this host that has ended. Of those in another namespace of process ids nothing can be said. */
export function isGone(server: string): boolean {
  if (server === serverIdentity()) return false
  const [namespace, pid, startedAt] = server.split('.')
  if (namespace !== pidNamespace()) return false
  const stat = readStat(Number(pid))
  return !stat || stat.state === 'Z' || stat.startedAt !== Number(startedAt)
}

function pidNamespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
  } catch {
    return '0'
  }
}
