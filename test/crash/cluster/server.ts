import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { closedPort } from '../../support/peers/silent.js'

export type Role = 'api' | 'worker'

export interface ServerSettings {
  role: Role
  name: string
  /** What `node` is started with. */
  program: readonly string[]
  environment: Record<string, string>
  /** What it writes is appended here. */
  logFile: string
  /** Whether its engine has begun, for a process that no HTTP request reaches. */
  isWorking(pid: number): Promise<boolean>
}

/** A process of the product. It may die and be started again, and is the same server by its name. */
export class ServerUnderFire {
  private child?: ChildProcess
  private port = 0
  private frozen = false
  private serving = false
  /** Where it is armed to end by itself, as `name:n`. */
  armedAt?: string
  /** Called when it ends and nobody had asked for that. */
  onDeath: (signal: NodeJS.Signals | null) => void = () => {}
  private endingAsAsked = false

  constructor(private readonly settings: ServerSettings) {}

  get name(): string {
    return this.settings.name
  }

  get role(): Role {
    return this.settings.role
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get pid(): number {
    return this.child?.pid ?? 0
  }

  /** It has begun to serve, and does not stand still. */
  get isUp(): boolean {
    return this.isThere && this.serving && !this.frozen
  }

  /** It has begun to serve since it was started. */
  get hasServed(): boolean {
    return this.serving
  }

  get isThere(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null
  }

  /** Resolves when it serves, with false when it ended before. */
  async start(crashAt?: string): Promise<boolean> {
    this.port = await closedPort()
    this.armedAt = crashAt
    this.endingAsAsked = false
    this.frozen = false
    this.serving = false
    const log = openSync(this.settings.logFile, 'a')
    const child = spawn(process.execPath, [...this.settings.program], {
      env: {
        PATH: process.env.PATH,
        ...this.settings.environment,
        PORT: String(this.port),
        ...(crashAt ? { CRASH_AT: crashAt } : {}),
      },
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    this.child = child
    child.once('exit', (_, signal) => {
      if (!this.endingAsAsked) this.onDeath(signal)
    })
    while (this.isThere && this.child === child) {
      if (await this.serves()) {
        this.serving = true
        return true
      }
      await delay(50)
    }
    return false
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.end('SIGKILL')
  }

  /** SIGTERM; resolves with the exit code, or null when it had to be killed after `patienceMs`. */
  async stop(patienceMs: number): Promise<number | null> {
    const late = setTimeout(() => this.child?.kill('SIGKILL'), patienceMs)
    try {
      return await this.end('SIGTERM')
    } finally {
      clearTimeout(late)
    }
  }

  /** SIGSTOP: it stands still and its connections stay open. */
  freeze(): void {
    this.frozen = true
    this.child?.kill('SIGSTOP')
  }

  /** SIGCONT: it goes on as if no time had passed. */
  thaw(): void {
    this.frozen = false
    this.child?.kill('SIGCONT')
  }

  private async end(signal: NodeJS.Signals): Promise<number | null> {
    const { child } = this
    if (!child || !this.isThere) return child?.exitCode ?? null
    this.endingAsAsked = true
    const ended = once(child, 'exit')
    child.kill(signal)
    return (await ended)[0] as number | null
  }

  private async serves(): Promise<boolean> {
    if (this.role === 'worker') return await this.settings.isWorking(this.pid).catch(() => false)
    const answer = await fetch(`${this.url}/api/health`, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined)
    return answer?.ok === true
  }
}
