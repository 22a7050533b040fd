import { readdirSync, readFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'

/** What the kernel says of a process. */
export interface ProcessStat {
  pid: number
  parent: number
  state: string
  /** Of itself, in ticks, and of its children that have ended. */
  cpuTicks: number
  childTicks: number
  threads: number
  /** In ticks since the host's start. */
  startedAt: number
}

/** A tick of the kernel's, the same on every Linux that Node runs on. */
export const TICKS_PER_SECOND = 100

/** Undefined where there is no such process any more. */
export function readStat(pid: number): ProcessStat | undefined {
  const text = read(`/proc/${pid}/stat`)
  return text === undefined ? undefined : parsedStat(pid, text)
}

/** The name of a process may hold anything, blanks and brackets too: what follows begins behind the last bracket. */
export function parsedStat(pid: number, text: string): ProcessStat | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const field = (number: number) => Number(fields[number - 3])
  if (fields.length < 20) return undefined
  return {
    pid,
    state: fields[0] as string,
    parent: field(4),
    cpuTicks: field(14) + field(15),
    childTicks: field(16) + field(17),
    threads: field(20),
    startedAt: field(22),
  }
}

/** Memory that is a process's own: anonymous, shared and swapped out, in bytes. Files that are mapped, such as libraries, do not count. */
export function ownMemory(pid: number): number {
  const text = read(`/proc/${pid}/status`)
  if (text === undefined) return 0
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0)
  return (kib('RssAnon') + kib('RssShmem') + kib('VmSwap')) * 1_024
}

/** All processes below these, themselves included. What changes meanwhile may be missed: ask again until nothing is new. */
export function descendants(roots: Iterable<number>): ProcessStat[] {
  const found = new Map<number, ProcessStat>()
  const open = [...roots]
  for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
    if (found.has(pid)) continue
    const stat = readStat(pid)
    if (!stat) continue
    found.set(pid, stat)
    open.push(...childrenOf(pid))
  }
  return [...found.values()]
}

/** Children of each of its threads. */
function childrenOf(pid: number): number[] {
  let threads: string[]
  try {
    threads = readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
  return threads.flatMap((thread) => numbers(read(`/proc/${pid}/task/${thread}/children`) ?? ''))
}

/** Of the kernel's flags of a descriptor: it is closed when another program is started. */
const CLOSE_ON_EXEC = 0o2_000_000

/** Descriptors of this process that every program it starts would have too. */
export function openOnExec(): number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => {
      const flags = /^flags:\s+0?(\d+)$/m.exec(read(`/proc/self/fdinfo/${fd}`) ?? '')?.[1]
      return flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0
    })
}

export async function allPids(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
}

/** Undefined where there is no such process, or it may not be looked into. Waits for the process's memory, so never on the main thread. */
export async function environmentOf(pid: number): Promise<string | undefined> {
  try {
    return await readFile(`/proc/${pid}/environ`, 'latin1')
  } catch {
    return undefined
  }
}

/** False where it is gone already. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}

export function numbers(text: string): number[] {
  return text.split(/\s+/).filter(Boolean).map(Number)
}

/** A file of the kernel's; undefined where it is not there any more, or was never. */
export function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
