import type { ConsoleLine } from './evaluation.js'

const MAX_LINES = 1_000
const MAX_CHARS = 256 * 1024

/** What one evaluation printed, up to a limit; a last line tells that something is missing. */
export class ConsoleLog {
  readonly lines: ConsoleLine[] = []
  private chars = 0
  private full = false

  add(level: string, message: string): void {
    if (this.full) return
    this.chars += message.length
    this.full = this.lines.length >= MAX_LINES || this.chars > MAX_CHARS
    this.lines.push(
      this.full
        ? { level: 'warn', message: 'the script printed more than is kept; the rest of its output is left out' }
        : { level: level as ConsoleLine['level'], message },
    )
  }
}
