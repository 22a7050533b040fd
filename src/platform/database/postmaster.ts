import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { EmbeddedPostgresError } from './embedded-error.js'
import type { PostgresBinaries } from './postgres-binaries.js'
import type { ServerUser } from './server-user.js'

const PATIENCE_MS = { fast: 20_000, immediate: 5_000, killed: 5_000 }
/** Crash recovery after many unflushed writes takes its time; a server that neither gets ready nor ends is given up after this. */
const READY_WITHIN_MS = 300_000
const KEPT_LINES = 30

/**
 * Runs the server and waits until it ends or until our end of the pipe closes, which happens also when we are killed: then the
 * server is asked for a fast shutdown. So no server outlives its owner, and none needs to be looked after by hand.
 */
const KEEPER = `
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ read -r _ <&3; kill -INT "$server"; } >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$server"
status=$?
kill "$watch" 2>/dev/null
exit $status`

export interface Launch {
  binaries: PostgresBinaries
  user: ServerUser
  data: string
  port: number
  settings: Record<string, string>
  log: (line: string) => void
}

/** A server that runs as our child. */
export class Postmaster {
  /** Resolves with the last lines that it wrote once it is gone. */
  readonly ended: Promise<string[]>

  private constructor(
    private readonly child: ChildProcess,
    private readonly data: string,
    lines: string[],
  ) {
    this.ended = new Promise((resolve) => {
      child.once('close', () => resolve(lines))
      child.once('error', (error) => resolve([error.message]))
    })
  }

  /** Resolves when it accepts connections; throws `StartFailure` with what it said when it ends before. */
  static async start({ binaries, user, data, port, settings, log }: Launch): Promise<Postmaster> {
    const flags = Object.entries({ ...settings, port }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const server = [...user.prefix, binaries.postgres, '-D', data, ...flags]
    // In a session of its own, so that Ctrl-C in a terminal reaches us and not the server.
    const child = spawn('/bin/sh', ['-c', KEEPER, 'sh', ...server], {
      ...user.options,
      env: binaries.environment,
      cwd: '/',
      stdio: ['pipe', 'ignore', 'pipe'],
      detached: true,
    })
    child.stdin.on('error', () => {})
    const lines: string[] = []
    const ready = new Promise<'ready'>((resolve) => {
      createInterface({ input: child.stderr }).on('line', (line) => {
        lines.push(line)
        if (lines.length > KEPT_LINES) lines.shift()
        log(line)
        if (line.includes('database system is ready to accept connections')) resolve('ready')
      })
    })
    const postmaster = new Postmaster(child, data, lines)
    const settled = Promise.race([ready, postmaster.ended.then(() => 'ended' as const)])
    if (!(await isWithin(settled, READY_WITHIN_MS)) || (await settled) === 'ended') {
      await postmaster.stop()
      throw new StartFailure(lines)
    }
    postmaster.letTheProcessEnd()
    return postmaster
  }

  /** Ends its sessions, writes a checkpoint and is gone when this resolves; a server that does not listen is made to. */
  async stop(): Promise<void> {
    this.child.ref()
    this.child.stdin?.end()
    if (await isWithin(this.ended, PATIENCE_MS.fast)) return
    await stopServerOf(this.data)
    await this.ended
  }

  /** A program that forgot to stop us may still end; the keeper then stops the server. */
  private letTheProcessEnd(): void {
    this.child.unref()
    for (const stream of [this.child.stdin, this.child.stderr]) (stream as { unref?(): void } | null)?.unref?.()
  }
}

/** The server ended before it was ready. */
export class StartFailure extends EmbeddedPostgresError {
  constructor(private readonly lines: string[]) {
    super(`The embedded database did not start. It said:\n${lines.join('\n')}`)
  }

  get portTaken(): boolean {
    return this.says('Address already in use') || this.says('could not create any TCP/IP sockets')
  }

  /** Processes of a server that was killed notice it within moments and end. */
  get predecessorStillEnding(): boolean {
    return this.says('pre-existing shared memory block') || this.says('lock file "postmaster.pid" already exists')
  }

  private says(text: string): boolean {
    return this.lines.some((line) => line.includes(text))
  }
}

/** The process id of a server that runs on this data folder, whoever started it. */
export function serverOf(data: string): number | undefined {
  const pid = pidIn(data)
  return pid !== undefined && worksIn(pid, data) ? pid : undefined
}

/** Stops a server that is not our child, or that does not listen: fast, then immediate (recovery follows), then by force. */
export async function stopServerOf(data: string): Promise<void> {
  const pid = serverOf(data)
  if (pid === undefined) return
  for (const [signal, patience] of [
    ['SIGINT', PATIENCE_MS.fast],
    ['SIGQUIT', PATIENCE_MS.immediate],
    ['SIGKILL', PATIENCE_MS.killed],
  ] as const) {
    try {
      process.kill(pid, signal)
    } catch {
      return
    }
    for (const end = Date.now() + patience; Date.now() < end; await delay(10)) {
      if (!worksIn(pid, data)) return
    }
  }
  throw new EmbeddedPostgresError(
    `The database server ${pid} on ${data} does not stop. End it by hand and start again.`,
  )
}

/**
 * Removes a pid file whose number meanwhile belongs to another program: PostgreSQL would take that for its predecessor and refuse
 * to start. A file that names a dead process is left to PostgreSQL, which checks the shared memory that it names as well.
 */
export function forgetForeignPid(data: string): void {
  const pid = pidIn(data)
  if (pid === undefined || !isAlive(pid)) return
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  if (!processes.some((other) => worksIn(Number(other), data))) rmSync(pidFile(data), { force: true })
}

function pidFile(data: string): string {
  return join(data, 'postmaster.pid')
}

function pidIn(data: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(pidFile(data), 'utf8'), 10)
    return pid > 0 ? pid : undefined
  } catch {
    return undefined
  }
}

/** Every process of a server has the data folder as its working folder. A zombie has none. */
function worksIn(pid: number, data: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === data
  } catch {
    return false
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function isWithin(event: Promise<unknown>, ms: number): Promise<boolean> {
  const timer = new AbortController()
  const late = delay(ms, false, { signal: timer.signal }).catch(() => false)
  try {
    return await Promise.race([event.then(() => true), late])
  } finally {
    timer.abort()
  }
}
