import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { closedPort } from './silent.js'

const BINARY = '/usr/bin/redis-server'
const STARTS_WITHIN_MS = 15_000

/**
 * Why tests that need a Redis are skipped here, or false: `describe.skipIf(noRedis)(…)`. Said once, so that a run that skips them does not
 * look like one that passed them.
 */
export const noRedis: string | false = existsSync(BINARY) ? false : `${BINARY} is missing: install redis-server`
if (noRedis) console.warn(`tests with a real Redis are skipped: ${noRedis}`)

/** A real redis-server of a test's own: it keeps nothing on disk, and comes back on the same port. */
export class RedisServer {
  private child?: ChildProcess

  private constructor(
    private readonly folder: string,
    readonly port: number,
  ) {}

  static async start(): Promise<RedisServer> {
    const server = new RedisServer(mkdtempSync(join(tmpdir(), 'millrace-redis-')), await closedPort())
    try {
      await server.restart()
      return server
    } catch (error) {
      await server.stop()
      throw error
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** `kill -9`: what it held is gone, and its port is closed. */
  async kill(): Promise<void> {
    await this.end('SIGKILL')
  }

  /** Serves again, empty, on the same port. */
  async restart(): Promise<void> {
    await this.end('SIGKILL')
    const settings = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', this.folder]
    const child = spawn(BINARY, ['--port', String(this.port), ...settings], { stdio: 'ignore' })
    this.child = child
    for (const deadline = Date.now() + STARTS_WITHIN_MS; Date.now() < deadline; await delay(10)) {
      if (child.exitCode !== null) break
      if ((await this.command('PING').catch(() => '')).startsWith('+PONG')) return
    }
    throw new Error(`redis-server did not start on port ${this.port}`)
  }

  /** Everything that it holds is gone; connections and subscriptions stay. */
  async flushAll(): Promise<void> {
    await this.command('FLUSHALL')
  }

  /** Its port stays open, and nothing is answered until `thaw`. */
  freeze(): void {
    this.child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.child?.kill('SIGCONT')
  }

  /** One command in the inline form of the protocol (words without spaces); resolves with the raw answer. */
  async command(line: string): Promise<string> {
    const socket = connect(this.port, '127.0.0.1')
    try {
      socket.write(`${line}\r\nQUIT\r\n`)
      let answer = ''
      for await (const chunk of socket) answer += chunk
      return answer.replace(/\+OK\r\n$/, '')
    } finally {
      socket.destroy()
    }
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    await this.end('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    await once(child, 'exit')
  }
}
