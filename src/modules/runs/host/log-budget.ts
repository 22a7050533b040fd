import type { RunEvent } from '../../../engine/host.js'

export type LogLine = Extract<RunEvent, { type: 'log' }>

/** What a run may log, and what of one line is kept. Enough for whoever looks for a fault, and no run's log fills the disk. */
export const LOG_LIMITS = { lines: 10_000, chars: 8 * 1024 * 1024, charsOfLine: 64 * 1024 } as const

/** What a line weighs besides its text. */
const LINE = 150

/** What a run had logged before it was taken up. */
export interface Logged {
  lines: number
  chars: number
}

/** Log lines of all runs that wait to be written, in characters: while there are too many, further ones are dropped. */
export class LogRoom {
  /** Lines that were dropped because there were too many. */
  dropped = 0
  private held = 0

  constructor(private readonly most = 32 * 1024 * 1024) {}

  get isFull(): boolean {
    return this.held >= this.most
  }

  hold(chars: number): void {
    this.held += chars
  }

  release(chars: number): void {
    this.held -= chars
  }
}

/**
 * Bounds the log of one run. Lines are dropped before they are numbered, so that the sequence of events has no gaps, and the log says that
 * they were. The lines that tell how the run itself goes on come from the engine and are few: they are always kept.
 */
export class LogBudget {
  private lines: number
  private chars: number
  private dropped = 0

  constructor(
    readonly room: LogRoom,
    { lines, chars }: Logged = { lines: 0, chars: 0 },
  ) {
    this.lines = lines
    this.chars = chars
  }

  /** What is to be written for a line: itself, it and what was dropped before it, or nothing. */
  admitted(line: LogLine): LogLine[] {
    if (!line.quoted) return [line]
    if (this.lines > LOG_LIMITS.lines) return []
    const kept = cut(line)
    const chars = charsOf(kept)
    if (this.lines === LOG_LIMITS.lines || this.chars + chars > LOG_LIMITS.chars) {
      this.lines = LOG_LIMITS.lines + 1
      return [notice(line.at, 'the log is full: what steps log from here on is dropped')]
    }
    if (this.room.isFull) {
      this.dropped++
      this.room.dropped++
      return []
    }
    this.lines++
    this.chars += chars
    return [...this.gap(line.at), kept]
  }

  /** Says what was dropped and not yet told of. */
  gap(at: Date): LogLine[] {
    if (this.dropped === 0) return []
    const message = `${this.dropped} log lines were dropped here: they came faster than they could be written`
    this.dropped = 0
    return [notice(at, message)]
  }
}

/** What waits with a line, in characters. */
export function charsOf({ message, data }: Pick<LogLine, 'message' | 'data'>): number {
  return LINE + message.length + (data ? JSON.stringify(data).length : 0)
}

function cut(line: LogLine): LogLine {
  if (charsOf(line) <= LOG_LIMITS.charsOfLine) return line
  const message = `${line.message.slice(0, LOG_LIMITS.charsOfLine).toWellFormed()}… (cut)`
  return { ...line, message: line.message.length > LOG_LIMITS.charsOfLine ? message : line.message, data: undefined }
}

function notice(at: Date, message: string): LogLine {
  return { type: 'log', level: 'warn', message, at }
}
