import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Cgroup } from './cgroups.js'
import { Execution } from './execution.js'
import { IsolationUnavailable } from './isolation.errors.js'
import { type Isolation, type IsolationOptions, probeIsolation } from './isolation.js'
import { launchOf, shellOf } from './launch.js'
import { MARKER, newMark, spelled } from './marker.js'
import { controlPrefix } from './orphans.js'
import { type Channel, makePipes, type Pipe } from './output.js'
import { openOnExec } from './proc-fs.js'
import type { ProcessCommand, ProcessEnd } from './process-command.js'
import { writeSandboxFiles } from './sandbox-files.js'
import { ProcessTree } from './tree.js'

/**
 * Runs programs under a profile and limits, and sees to it that nothing of them stays: not what forks twice, opens a session of its own, is deaf
 * to TERM or calls itself something else.
 *
 * The kernel's own limits come first: those of each process, and those of a control group where this server may make one. What they do not
 * cover, a watchdog sees. Under `secure`, and under `permissive` where the host allows it, all processes have a namespace that ends with the
 * first of them, and that one ends with the server. Elsewhere they are found by group, by descent and by the mark in their environment.
 */
export class ProcessRunner {
  private probing?: Promise<Isolation>
  private readonly running = new Map<symbol, { kill(): void; ended: Promise<unknown> }>()
  private closed = false

  constructor(
    /** Where it keeps what it needs meanwhile; nobody else's. */
    private readonly folder: string,
    private readonly options: IsolationOptions & { hidden?: readonly string[] } = {},
  ) {}

  isolation(): Promise<Isolation> {
    this.probing ??= probeIsolation(this.options)
    return this.probing
  }

  /** Throws `IsolationUnavailable` where the host cannot give what the profile promises, before anything is started. */
  async run(command: ProcessCommand): Promise<ProcessEnd> {
    const isolation = await this.isolation()
    if (command.profile === 'secure' && isolation.secureFault !== undefined)
      throw new IsolationUnavailable('secure', isolation.secureFault)
    await mkdir(this.folder, { recursive: true, mode: 0o700 })
    const control = await mkdtemp(join(this.folder, controlPrefix()))
    try {
      command.signal?.throwIfAborted()
      if (this.closed) throw new Error('the server is shutting down')
      return await this.start(command, isolation, control)
    } finally {
      await rm(control, { recursive: true, force: true })
    }
  }

  /** Kills whatever still runs, and takes nothing more. */
  async close(): Promise<void> {
    this.closed = true
    const all = [...this.running.values()]
    for (const { kill } of all) kill()
    await Promise.allSettled(all.map(({ ended }) => ended))
  }

  private async start(command: ProcessCommand, isolation: Isolation, control: string): Promise<ProcessEnd> {
    const mark = newMark(command.run)
    const env = { ...command.env, [MARKER]: spelled(mark) }
    const files = await writeSandboxFiles(control, env)
    const launch = launchOf(command, isolation, env, { hidden: this.options.hidden ?? [], files })
    const pipes = await makePipes(control)
    let cgroup: Cgroup | undefined
    let child: ChildProcess
    try {
      cgroup = isolation.cgroups && Cgroup.make(isolation.cgroups, mark.nonce, command.limits, launch.ownProcesses)
      const [shell = '', ...rest] = shellOf(launch.argv, command.limits, cgroup?.doors)
      child = spawn(shell, rest, {
        cwd: launch.cwd,
        env: launch.env,
        stdio: ['ignore', pipes.stdout.writer, pipes.stderr.writer, ...withheld()],
        detached: true,
      })
    } catch (error) {
      closeWriters(pipes)
      for (const { reader } of Object.values(pipes)) reader.destroy()
      await cgroup?.remove()
      throw error
    }
    closeWriters(pipes)
    const execution = new Execution(command, child, pipes, new ProcessTree(child.pid ?? -1, mark, cgroup), {
      cgroup,
      ownProcesses: launch.ownProcesses,
      isNamespaced: launch.isNamespaced,
    })
    const key = Symbol(command.run)
    const ended = execution.ended()
    this.running.set(key, { kill: () => execution.kill(), ended })
    try {
      return await ended
    } finally {
      this.running.delete(key)
      // It may be counted as in use for a moment longer.
      void cgroup?.remove()
    }
  }
}

/**
 * The null device in place of each descriptor that this server was itself started with and that its children would have too: a folder
 * among them would be a way out of a sandbox.
 */
function withheld(): (number | 'ignore')[] {
  if (!instead) {
    const inherited = openOnExec().filter((fd) => fd > 2)
    const nothing = inherited.length > 0 ? openSync('/dev/null', 'r') : 0
    instead = Array.from({ length: Math.max(2, ...inherited) - 2 }, (_, index) =>
      inherited.includes(index + 3) ? nothing : 'ignore',
    )
  }
  return instead
}

let instead: (number | 'ignore')[] | undefined

function closeWriters(pipes: Record<Channel, Pipe>): void {
  for (const { writer } of Object.values(pipes)) closeSync(writer)
}
