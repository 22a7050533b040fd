import type { ChildProcess } from 'node:child_process'
import { constants as os, setPriority } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { Cgroup } from './cgroups.js'
import { CHANNELS, type Channel, type Pipe, readLines } from './output.js'
import type { ProcessCommand, ProcessEnd } from './process-command.js'
import type { ProcessLimits } from './profiles.js'
import type { ProcessTree } from './tree.js'
import { Watchdog } from './watchdog.js'

/** How long output may still be read once nobody is there to write any. */
const DRAIN_MS = 5_000
/** Steps are less urgent than the server, which shall answer while they work. */
const NICENESS = 10

/** What holds it together. */
interface Held {
  cgroup?: Cgroup
  ownProcesses: number
  isNamespaced: boolean
}

/** A program from its start until nothing is left of it. */
export class Execution {
  private readonly watchdog: Watchdog
  private reached?: ProcessEnd['limit']
  private wasTold = false
  private killing?: Promise<number>
  private grace?: NodeJS.Timeout

  constructor(
    private readonly command: ProcessCommand,
    private readonly child: ChildProcess,
    private readonly pipes: Record<Channel, Pipe>,
    private readonly tree: ProcessTree,
    private readonly held: Held,
  ) {
    this.watchdog = new Watchdog(
      { tree, cgroup: held.cgroup, ownProcesses: held.ownProcesses, limits: command.limits, folder: command.measured },
      (reached) => {
        this.reached ??= reached
        void this.kill()
      },
    )
  }

  async ended(): Promise<ProcessEnd> {
    const { command, pipes } = this
    const wall = setTimeout(() => this.late(), command.limits.wallMs)
    command.signal?.addEventListener('abort', this.told, { once: true })
    if (command.signal?.aborted) this.told()
    const exited = exitOf(this.child)
    const reading = Promise.all(
      CHANNELS.map((channel) =>
        readLines(pipes[channel].reader, {
          maxLines: command.maxLines,
          onLine: (line) => command.onLine(channel, line),
        }),
      ),
    )
    // Whoever reads may fail; it is told of at the end.
    reading.catch(() => void this.kill())
    try {
      if (this.child.pid !== undefined) setPriority(this.child.pid, NICENESS)
    } catch {
      // It has ended already.
    }
    let left = 0
    try {
      const exit = await exited
      left = await this.kill(true)
      this.watchdog.stop()
      await this.watchdog.after()
      const read = await this.drained(reading)
      return {
        ...exit,
        limit: this.reached ?? limitOf(exit.signal, command.limits),
        wasTold: this.wasTold,
        shortened: CHANNELS.filter((_, index) => read[index]?.isShortened),
        used: this.watchdog.used,
        left,
      }
    } finally {
      clearTimeout(wall)
      clearTimeout(this.grace)
      this.watchdog.stop()
      command.signal?.removeEventListener('abort', this.told)
      for (const { reader } of Object.values(pipes)) reader.destroy()
    }
  }

  /** Kills all of it, once or, at the end, once more: what was started while the rest ended. */
  kill(again = false): Promise<number> {
    if (again || !this.killing) {
      const before = this.killing ?? Promise.resolve(0)
      this.killing = before.then(async () => {
        if (again && !this.held.isNamespaced) await this.tree.gather()
        return await this.tree.kill()
      })
    }
    return this.killing
  }

  private readonly told = (): void => {
    this.wasTold = true
    this.terminate()
  }

  private late(): void {
    const seconds = Math.round(this.command.limits.wallMs / 100) / 10
    this.reached ??= { limit: 'wall', message: `it took longer than ${seconds} seconds` }
    this.terminate()
  }

  private terminate(): void {
    if (this.grace) return
    this.tree.terminate()
    this.grace = setTimeout(() => void this.kill(), this.command.graceMs)
  }

  /** The last lines. Nobody is left to write more; a pipe that was handed to a stranger is not waited for. */
  private async drained(reading: Promise<{ isShortened: boolean }[]>): Promise<{ isShortened: boolean }[]> {
    const patience = new AbortController()
    const late = delay(DRAIN_MS, undefined, { signal: patience.signal }).then(
      () => {
        for (const { reader } of Object.values(this.pipes)) reader.destroy()
      },
      () => {},
    )
    try {
      return (await Promise.race([reading, late])) ?? []
    } finally {
      patience.abort()
    }
  }
}

function exitOf(child: ChildProcess): Promise<{ exitCode: number; signal?: NodeJS.Signals }> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      if (signal) resolve({ exitCode: 128 + os.signals[signal], signal })
      else resolve({ exitCode: code ?? 1, signal: signalOf(code ?? 1) })
    })
  })
}

/** What isolates a program tells of a signal as shells do. */
function signalOf(code: number): NodeJS.Signals | undefined {
  return Object.entries(os.signals).find(([, number]) => number === code - 128)?.[0] as NodeJS.Signals | undefined
}

/** Where the kernel's own limit of one process was quicker than the watchdog. */
function limitOf(signal: NodeJS.Signals | undefined, limits: ProcessLimits): ProcessEnd['limit'] {
  if (signal === 'SIGXCPU')
    return { limit: 'cpu', message: `it used more than ${limits.cpuSeconds} seconds of processor time` }
  if (signal === 'SIGXFSZ') return { limit: 'disk', message: `it wrote a file of more than ${limits.fileMb} MiB` }
}
