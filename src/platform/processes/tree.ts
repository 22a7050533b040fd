import { setTimeout as delay } from 'node:timers/promises'
import type { Cgroup } from './cgroups.js'
import { type Mark, markIn } from './marker.js'
import {
  allPids,
  descendants,
  environmentOf,
  ownMemory,
  type ProcessStat,
  read,
  readStat,
  signal,
  TICKS_PER_SECOND,
} from './proc-fs.js'

/** How long processes that were killed may take to be gone: one that waits for a disk dies when that answers. */
const GONE_MS = 10_000
const LOOK_MS = 10
/** Of looking for what was started while others were stopped. */
const MOST_ROUNDS = 50

export interface TreeUse {
  cpuMs: number
  memoryBytes: number
  /** Processes and threads. */
  processes: number
}

/**
 * All processes of one step: those below the first, those of its control group, and, where neither holds them together, those that were
 * seen once or carry its mark.
 */
export class ProcessTree {
  /** Those that were seen, with the time of their start: an id may be given to another later. */
  private readonly seen = new Map<number, number>()

  /** What each was seen to have used: what ends behind its parent's back takes its account with it. */
  private readonly spent = new Map<string, number>()
  private spentByGone = 0

  constructor(
    readonly root: number,
    private readonly mark: Mark,
    private readonly cgroup?: Cgroup,
  ) {}

  members(): ProcessStat[] {
    for (const [pid, startedAt] of this.seen) if (readStat(pid)?.startedAt !== startedAt) this.seen.delete(pid)
    const found = descendants([this.root, ...this.seen.keys(), ...(this.cgroup?.members() ?? [])])
    for (const { pid, startedAt } of found) this.seen.set(pid, startedAt)
    return found.filter(({ state }) => state !== 'Z' && state !== 'X')
  }

  use(): TreeUse {
    const members = this.members()
    const alive = new Map(members.map(({ pid, startedAt, cpuTicks }) => [`${pid} ${startedAt}`, cpuTicks]))
    for (const [key, ticks] of this.spent)
      if (!alive.has(key)) {
        this.spentByGone += ticks
        this.spent.delete(key)
      }
    for (const [key, ticks] of alive) this.spent.set(key, ticks)
    const accounted = members.reduce((sum, { cpuTicks, childTicks }) => sum + cpuTicks + childTicks, 0)
    const seen = [...this.spent.values()].reduce((sum, ticks) => sum + ticks, this.spentByGone)
    return {
      cpuMs: Math.max(accounted, seen) * (1_000 / TICKS_PER_SECOND),
      memoryBytes: members.reduce((sum, { pid }) => sum + ownMemory(pid), 0),
      processes: members.reduce((sum, { threads }) => sum + threads, 0),
    }
  }

  /** Tells all to end; those that only isolate the others stay, since all would be killed with them. */
  terminate(): void {
    for (const { pid } of this.members().filter(({ pid }) => !isolates(pid))) signal(pid, 'SIGTERM')
  }

  /** Kills all at once. Resolves with how many are left, which is none unless the kernel holds them. */
  async kill(): Promise<number> {
    const until = performance.now() + GONE_MS
    for (;;) {
      this.cgroup?.kill()
      const members = this.frozen()
      for (const { pid } of members) signal(pid, 'SIGKILL')
      if (members.length === 0 || performance.now() > until) return members.length
      await delay(LOOK_MS)
    }
  }

  /** Stops each before any is killed: what is stopped starts no others, so that none is overlooked. */
  private frozen(): ProcessStat[] {
    const stopped = new Set<number>()
    let members = this.members()
    for (let round = 1; round <= MOST_ROUNDS; round++) {
      const running = members.filter(({ pid }) => !stopped.has(pid))
      if (running.length === 0) break
      for (const { pid } of running) {
        signal(pid, 'SIGSTOP')
        stopped.add(pid)
      }
      members = this.members()
    }
    return members
  }

  /** Takes in those that carry the mark, wherever they are. */
  async gather(): Promise<void> {
    for (const pid of await marked(({ nonce }) => nonce === this.mark.nonce)) {
      const stat = readStat(pid)
      if (stat) this.seen.set(pid, stat.startedAt)
    }
  }
}

/** Processes of this host whose marks are of this kind. */
export async function marked(isWanted: (mark: Mark) => boolean): Promise<number[]> {
  const found: number[] = []
  for (const pid of await allPids()) {
    const mark = markIn((await environmentOf(pid)) ?? '')
    if (mark && isWanted(mark)) found.push(pid)
  }
  return found
}

function isolates(pid: number): boolean {
  return read(`/proc/${pid}/comm`)?.trim() === 'bwrap'
}
