import type { LoggerService } from '@nestjs/common'
import type { Log } from './log.js'

type Level = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace'

/** What Nest says of its own start, a line for every module and route: of use only to who looks for a fault in the wiring. */
const WIRING = new Set(['NestFactory', 'InstanceLoader', 'RoutesResolver', 'RouterExplorer', 'NestApplication'])

/** What Nest says of a failed start before it throws it. Whoever catches it says it. */
const FAILED_START = new Set(['ExceptionHandler', 'NestApplication'])

/**
 * Lets Nest's `Logger` write to ours. Nest hands over `(what, ...more, context)`: `what` is a sentence, members for the sentence that
 * follows, or an error; for `error` a stack may stand between.
 */
export class NestLog implements LoggerService {
  constructor(private readonly target: Log) {}

  log(what: unknown, ...more: unknown[]): void {
    this.write(WIRING.has(String(more.at(-1))) ? 'debug' : 'info', what, more)
  }

  fatal(what: unknown, ...more: unknown[]): void {
    this.write('fatal', what, more)
  }

  error(what: unknown, ...more: unknown[]): void {
    this.write(FAILED_START.has(String(more.at(-1))) ? 'debug' : 'error', what, more)
  }

  warn(what: unknown, ...more: unknown[]): void {
    this.write('warn', what, more)
  }

  debug(what: unknown, ...more: unknown[]): void {
    this.write('debug', what, more)
  }

  verbose(what: unknown, ...more: unknown[]): void {
    this.write('trace', what, more)
  }

  private write(level: Level, what: unknown, more: unknown[]): void {
    if (!this.target.isLevelEnabled(level)) return
    const context = more.pop()
    const [members, sentence] = understand(what, more[0])
    this.target[level]({ context, ...members }, sentence)
  }
}

function understand(what: unknown, next: unknown): [members: object, sentence?: string] {
  if (what instanceof Error) return [{ err: what }, what.message]
  if (typeof what === 'object' && what !== null) return [what, typeof next === 'string' ? next : undefined]
  if (next instanceof Error) return [{ err: next }, String(what)]
  if (typeof next === 'object' && next !== null) return [next, String(what)]
  const isStack = typeof next === 'string' && next.includes('\n    at ')
  return [isStack ? { err: { stack: next } } : {}, String(what)]
}
