import { execFile } from 'node:child_process'
import { constants, openSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Line, Lines } from './lines.js'

const run = promisify(execFile)

export const CHANNELS = ['stdout', 'stderr'] as const

export type Channel = (typeof CHANNELS)[number]

export interface Pipe {
  reader: Socket
  /** A descriptor, to be closed once the program has it. */
  writer: number
}

/**
 * A pipe for each channel, made in a folder that is the server's alone. They have names, for what Node connects children with are sockets:
 * programs open `/dev/stdout` anew, and no socket can be opened.
 */
export async function makePipes(folder: string): Promise<Record<Channel, Pipe>> {
  const paths = CHANNELS.map((channel) => join(folder, channel))
  // Whoever the program is, it may open what it has already.
  await run('mkfifo', ['-m', '622', ...paths])
  const [stdout, stderr] = paths.map(openPipe) as [Pipe, Pipe]
  return { stdout, stderr }
}

/** In this order: to open a pipe for writing waits for somebody who reads it. */
function openPipe(path: string): Pipe {
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  return {
    reader: new Socket({ fd: reader, readable: true, writable: false }),
    writer: openSync(path, constants.O_WRONLY),
  }
}

export interface ReadingOptions {
  /** Lines that are told; of what comes after them only the last is. */
  maxLines: number
  /** Nothing more is read until what it returns is settled. */
  onLine(line: Line): void | Promise<void>
}

export interface ReadOutput {
  bytes: number
  /** True where lines were not told. */
  isShortened: boolean
}

/** Reads to the end, line by line. */
export async function readLines(reader: Socket, options: ReadingOptions): Promise<ReadOutput> {
  const telling = new Telling(options)
  for await (const chunk of reader as AsyncIterable<Buffer>) await telling.take(chunk)
  return await telling.end()
}

/** Tells the lines of output that comes in chunks. */
export class Telling {
  private readonly lines = new Lines()
  private told = 0
  private bytes = 0
  private last?: Line

  constructor(private readonly options: ReadingOptions) {}

  /** What it returns is to be waited for before the next. */
  async take(chunk: Buffer): Promise<void> {
    const { maxLines, onLine } = this.options
    this.bytes += chunk.length
    if (this.told >= maxLines) {
      this.lines.skim(chunk, (line) => {
        this.last = line
      })
      return
    }
    // Of a chunk that is begun all lines are told.
    for (const line of this.lines.push(chunk)) {
      this.told++
      await onLine(line)
    }
  }

  async end(): Promise<ReadOutput> {
    const { maxLines, onLine } = this.options
    const rest = this.lines.rest() ?? this.last
    if (rest) await onLine(rest)
    return { bytes: this.bytes, isShortened: this.told >= maxLines }
  }
}
