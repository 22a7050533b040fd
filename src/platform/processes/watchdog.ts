import { setTimeout as delay } from 'node:timers/promises'
import type { Cgroup } from './cgroups.js'
import { folderSize, restingFolderSize } from './folder-size.js'
import type { ProcessLimits } from './profiles.js'
import type { ProcessTree } from './tree.js'

/** What ended a step before its time. */
export const LIMITS = ['cpu', 'memory', 'processes', 'disk', 'wall'] as const

export type Limit = (typeof LIMITS)[number]

export interface LimitReached {
  limit: Limit
  /** For people: `it used more than 512 MiB of memory`. */
  message: string
}

/** Between two looks, at least. */
const LOOK_MS = 100
const MEASURE_FOLDER_MS = 500
/** A look may take this part of the time: a twentieth of one core for a step, however many processes it has. */
const LOOK_SHARE = 20
const MEASURE_SHARE = 10
/** Looks in a row that see too many processes: one that has just ended may still be counted. */
const LOOKS_TOO_MANY = 2
const MIB = 1024 * 1024

export interface Watched {
  tree: ProcessTree
  cgroup?: Cgroup
  limits: ProcessLimits
  /** Processes that are there to isolate the others. */
  ownProcesses: number
  /** The folder whose size is limited. */
  folder: string
}

/**
 * Looks at what all processes of a step use together, again and again, where no limit of the kernel's is for all of them. It tells of the
 * first limit that is exceeded, and does nothing itself.
 */
export class Watchdog {
  private readonly stopping = new AbortController()
  private readonly peak = { cpuMs: 0, memoryBytes: 0, processes: 0 }
  private tooMany = 0

  constructor(
    private readonly watched: Watched,
    private readonly onReached: (reached: LimitReached) => void,
  ) {
    void this.repeat(LOOK_MS, LOOK_SHARE, () => this.look())
    void this.repeat(MEASURE_FOLDER_MS, MEASURE_SHARE, () => this.measure())
  }

  /** The most that was seen. */
  get used(): Readonly<{ cpuMs: number; memoryBytes: number; processes: number }> {
    return this.peak
  }

  stop(): void {
    this.stopping.abort()
  }

  /** What the last look may have missed, once all have ended. */
  async after(): Promise<void> {
    const { cgroup } = this.watched
    if (cgroup) this.judge({ ...cgroup.use() })
    await this.measure(restingFolderSize)
  }

  private look(): void {
    const { cgroup, tree } = this.watched
    const counted = cgroup?.use()
    // Whoever was seen once is found again: without a group that is the only hold there is.
    this.judge({ ...tree.use(), ...defined(counted ?? {}) })
  }

  private judge(use: { cpuMs?: number; memoryBytes?: number; processes?: number; outOfMemory?: number }): void {
    const { limits, ownProcesses } = this.watched
    const { cpuMs = 0, memoryBytes = 0, outOfMemory = 0 } = use
    const processes = Math.max(0, (use.processes ?? 0) - ownProcesses)
    this.peak.cpuMs = Math.max(this.peak.cpuMs, cpuMs)
    this.peak.memoryBytes = Math.max(this.peak.memoryBytes, memoryBytes)
    this.peak.processes = Math.max(this.peak.processes, processes)
    this.tooMany = processes > limits.processes ? this.tooMany + 1 : 0
    if (outOfMemory > 0 || memoryBytes > limits.memoryMb * MIB)
      this.onReached({ limit: 'memory', message: `it used more than ${limits.memoryMb} MiB of memory` })
    else if (cpuMs > limits.cpuSeconds * 1_000)
      this.onReached({ limit: 'cpu', message: `it used more than ${limits.cpuSeconds} seconds of processor time` })
    else if (this.tooMany >= LOOKS_TOO_MANY)
      this.onReached({ limit: 'processes', message: `it had more than ${limits.processes} processes at a time` })
  }

  private async measure(sizeOf = folderSize): Promise<void> {
    const { folder, limits } = this.watched
    const { bytes, fault } = await sizeOf(folder)
    if (bytes > limits.fileMb * MIB)
      this.onReached({ limit: 'disk', message: `its folder took more than ${limits.fileMb} MiB` })
    else if (fault) this.onReached({ limit: 'disk', message: `the size of its folder cannot be told: ${fault}` })
  }

  private async repeat(leastMs: number, share: number, work: () => void | Promise<void>): Promise<void> {
    let pause = leastMs
    while (!this.stopping.signal.aborted) {
      await delay(pause, undefined, { signal: this.stopping.signal }).catch(() => {})
      if (this.stopping.signal.aborted) return
      const began = performance.now()
      await work()
      pause = Math.max(leastMs, (performance.now() - began) * share)
    }
  }
}

function defined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Partial<T>
}
