import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ReadBuffer, serializeMessage } from '@modelcontextprotocol/sdk/shared/stdio.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'

const MAX_MESSAGE_BYTES = 10 * 1024 * 1024
/** How much of what the process complains of is kept: the end. */
const MAX_COMPLAINT = 2_000
/** How long a server may take to go by itself, and then once asked to. */
const GRACE_MS = 1_000

export interface ProcessOptions {
  command: string
  args: readonly string[]
  /** All of it: nothing is inherited. */
  env: Readonly<Record<string, string>>
}

/**
 * Speaks MCP with a process over its standard input and output. The process leads a group of its own in an empty folder of its own; when
 * the conversation is over, whatever is left of the group is killed and the folder removed.
 */
export class ProcessTransport implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: (message: JSONRPCMessage) => void
  private readonly incoming = new ReadBuffer({ maxBufferSize: MAX_MESSAGE_BYTES })
  private readonly folder = mkdtempSync(join(tmpdir(), 'millrace-mcp-'))
  private child?: ChildProcessWithoutNullStreams
  private complaint = ''

  constructor(private readonly options: ProcessOptions) {}

  async start(): Promise<void> {
    const { command, args, env } = this.options
    const child = spawn(command, args, {
      env: { HOME: this.folder, ...env },
      cwd: this.folder,
      detached: true,
      stdio: 'pipe',
    })
    this.child = child
    child.stdin.on('error', (error) => this.onerror?.(error))
    child.stdout.on('data', (chunk: Buffer) => this.read(chunk))
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.complaint = (this.complaint + text).slice(-MAX_COMPLAINT)
    })
    child.on('close', () => this.onclose?.())
    await once(child, 'spawn')
    child.on('error', (error) => this.onerror?.(error))
  }

  /** What the process last wrote to its standard error. */
  get lastComplaint(): string {
    return this.complaint.trim()
  }

  async send(message: JSONRPCMessage): Promise<void> {
    if (!this.child?.stdin.writable) throw new Error('the process has ended')
    if (!this.child.stdin.write(serializeMessage(message))) await once(this.child.stdin, 'drain')
  }

  /** Lets the server go by itself first, as MCP has it. */
  async close(): Promise<void> {
    const { child } = this
    if (child?.pid !== undefined && isRunning(child)) {
      child.stdin.end()
      await ended(child)
      if (isRunning(child)) {
        this.signal('SIGTERM')
        await ended(child)
      }
    }
    this.kill()
  }

  /** Ends the group at once. */
  kill(): void {
    this.signal('SIGKILL')
    this.incoming.clear()
    rmSync(this.folder, { recursive: true, force: true })
  }

  private signal(name: NodeJS.Signals): void {
    if (this.child?.pid === undefined) return
    try {
      process.kill(-this.child.pid, name)
    } catch {
      // Nothing is left of the group.
    }
  }

  private read(chunk: Buffer): void {
    try {
      this.incoming.append(chunk)
      for (let message = this.next(); message !== null; message = this.next()) this.onmessage?.(message)
    } catch (error) {
      this.onerror?.(error as Error)
      this.kill()
    }
  }

  /** The next whole message; a line that is none is told and passed over. */
  private next(): JSONRPCMessage | null {
    for (;;) {
      try {
        return this.incoming.readMessage()
      } catch (error) {
        this.onerror?.(error as Error)
      }
    }
  }
}

function isRunning(child: ChildProcessWithoutNullStreams): boolean {
  return child.exitCode === null && child.signalCode === null
}

async function ended(child: ChildProcessWithoutNullStreams): Promise<void> {
  const grace = new AbortController()
  await Promise.race([
    once(child, 'exit', { signal: grace.signal }),
    delay(GRACE_MS, undefined, { signal: grace.signal }),
  ]).finally(() => grace.abort())
}
