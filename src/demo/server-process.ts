import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface ServerOptions {
  environment: NodeJS.ProcessEnv
  /** The whole log is added to it. */
  logFile: string
  /** Told what the server says until it listens, and its complaints afterwards. */
  say: (line: string) => void
  /** Stops a server that is still starting. */
  signal: AbortSignal
}

/** The product's server as a child process, in a process group of its own, so that Ctrl-C reaches it through the demo alone. */
export class ServerProcess {
  private constructor(
    private readonly child: ChildProcess,
    /** Resolves when the process is gone. */
    readonly ended: Promise<unknown>,
    readonly url: string,
  ) {}

  /** Resolves when the server listens; rejects when it ends before that. */
  static async start({ environment, logFile, say, signal }: ServerOptions): Promise<ServerProcess> {
    const child = spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.resolve('./served.js'))], {
      env: { ...environment, LOG_FORMAT: 'json' },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    })
    const ended = once(child, 'close')
    child.stdin.on('error', () => {})
    child.stdout.pipe(createWriteStream(logFile, { flags: 'a' }))
    createInterface({ input: child.stderr }).on('line', say)
    const stop = () => child.kill('SIGTERM')
    signal.addEventListener('abort', stop)
    try {
      const url = await Promise.race([listening(child, say), ended.then(() => undefined)])
      if (url === undefined) throw new Error('the server did not start')
      return new ServerProcess(child, ended, url)
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGTERM')
    await this.ended
  }
}

/** Resolves with the address that the server says it listens on. Passes on all of its lines until then, and warnings and errors after. */
function listening(child: ChildProcess, say: (line: string) => void): Promise<string> {
  return new Promise((resolve) => {
    let ready = false
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (text) => {
      const { level, msg, url, docs } = logLine(text)
      if (!ready || level !== 'info') say(msg)
      if (!url || !docs) return
      ready = true
      resolve(url)
    })
  })
}

interface LogLine {
  level?: string
  msg: string
  url?: string
  docs?: string
}

function logLine(text: string): LogLine {
  try {
    return JSON.parse(text) as LogLine
  } catch {
    return { msg: text }
  }
}
