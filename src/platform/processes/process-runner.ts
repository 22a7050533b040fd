import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { constants as os, setPriority } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Cgroup } from './cgroups.js'
import { IsolationUnavailable } from './isolation.errors.js'
import { type Isolation, type IsolationOptions, probeIsolation } from './isolation.js'
import type { Line } from './lines.js'
import { MARKER, newMark, spelled } from './marker.js'
import { controlPrefix } from './orphans.js'
import { CHANNELS, type Channel, makePipes, type Pipe, readLines } from './output.js'
import { openOnExec } from './proc-fs.js'
import type { ProcessLimits, Profile } from './profiles.js'
import { type Folder, permissiveCommand, secureCommand } from './sandbox.js'
import { type SandboxFiles, writeSandboxFiles } from './sandbox-files.js'
import { SYSTEM_PATH } from './system-path.js'
import { ProcessTree } from './tree.js'
import { type Limit, Watchdog } from './watchdog.js'

/** What is to be run. */
export interface ProcessCommand {
  /** Goes into the mark of each process. */
  run: string
  profile: Profile
  /** The program and its arguments, as they are found where it runs. */
  argv: readonly string[]
  /** All of it: nothing is inherited. */
  env: Readonly<Record<string, string>>
  /** As it is found where the program runs. */
  cwd: string
  /** What it needs of the server's folders. `at` is the host's own path unless the profile is `secure`. */
  folders: readonly Folder[]
  limits: ProcessLimits
  /** The folder whose size is limited, by the host's path. */
  measured: string
  /** Lines of each channel that are told; of what comes after them only the last is. */
  maxLines: number
  /** Nothing more is read of the channel until what it returns is settled. */
  onLine(channel: Channel, line: Line): void | Promise<void>
  /** Tells it to end. */
  signal?: AbortSignal
  /** How long it may take to end by itself once told to. */
  graceMs: number
}

/** How it ended. */
export interface ProcessEnd {
  /** As shells tell it: 128 and the number of the signal where one killed it. */
  exitCode: number
  signal?: NodeJS.Signals
  /** What it was ended for. */
  limit?: { limit: Limit; message: string }
  /** True where `signal` of the command told it to end. */
  wasTold: boolean
  /** Channels of which not all lines were told. */
  shortened: Channel[]
  used: { cpuMs: number; memoryBytes: number; processes: number }
  /** Processes that could not be killed: the kernel holds them. */
  left: number
}

/** How long output may still be read once nobody is there to write any. */
const DRAIN_MS = 5_000
/** Steps are less urgent than the server, which shall answer while they work. */
const NICENESS = 10

/** Joins the control groups, is the first to go where the host is short of memory, then becomes the program. */
const LAUNCH = `
while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift
echo 1000 > /proc/self/oom_score_adj
exec "$@"
`

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
      child = spawn(
        '/bin/sh',
        ['-c', LAUNCH, 'sh', ...(cgroup?.doors ?? []), '--', ...limited(command.limits, launch.argv)],
        {
          cwd: launch.cwd,
          env: launch.env,
          stdio: ['ignore', pipes.stdout.writer, pipes.stderr.writer, ...withheld()],
          detached: true,
        },
      )
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

interface Launch {
  argv: string[]
  env: Record<string, string>
  cwd: string
  /** Processes that wait for the program and isolate it. */
  ownProcesses: number
  /** All its processes end with the first. */
  isNamespaced: boolean
}

/** What comes before the program knows nothing of the program's environment: outside the sandbox nobody's `LD_PRELOAD` counts. */
function launchOf(
  { profile, argv, cwd, folders, limits }: ProcessCommand,
  isolation: Isolation,
  env: Record<string, string>,
  { hidden, files }: { hidden: readonly string[]; files: SandboxFiles },
): Launch {
  const { isRoot } = isolation
  const own = { PATH: SYSTEM_PATH, [MARKER]: env[MARKER] as string }
  // The first process of a namespace is inside as well; and room for one too many, by which it is seen that there are too many.
  const processes = isolation.countsInNamespace ? limits.processes + 2 : undefined
  if (profile === 'secure') {
    const options = {
      folders,
      files,
      cwd,
      tmpBytes: (limits.memoryMb * 1024 * 1024) / 4,
      processes,
      canDisableNamespaces: isolation.canDisableNamespaces,
    }
    return { argv: secureCommand(argv, options, isRoot), env: own, cwd: '/', ownProcesses: 2, isNamespaced: true }
  }
  if (profile === 'permissive' && isolation.namespaceFault === undefined) {
    const shown = folders.map((folder) => ({ ...folder, at: folder.path }))
    const options = { hidden: hidden.map((path) => ({ path, shown })), files, cwd, processes }
    return { argv: permissiveCommand(argv, options, isRoot), env: own, cwd: '/', ownProcesses: 2, isNamespaced: true }
  }
  return { argv: [...argv], env, cwd, ownProcesses: 0, isNamespaced: false }
}

/** Of each process. */
function limited({ cpuSeconds, fileMb, openFiles }: ProcessLimits, argv: readonly string[]): string[] {
  return [
    'prlimit',
    // A second more, so that it is seen which limit it was: the watchdog counts all together.
    `--cpu=${cpuSeconds + 1}:${cpuSeconds + 3}`,
    `--fsize=${fileMb * 1024 * 1024}`,
    `--nofile=${openFiles}`,
    '--core=0',
    '--',
    ...argv,
  ]
}

interface Held {
  cgroup?: Cgroup
  ownProcesses: number
  isNamespaced: boolean
}

/** A program from its start until nothing is left of it. */
class Execution {
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
