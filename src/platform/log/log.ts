import { type DestinationStream, type Logger, pino } from 'pino'
import type { Config } from '../config/config.js'
import { requestContext } from '../http/request-context.js'
import { readableLine } from './readable-line.js'
import { redact } from './redact.js'
import { workContext } from './work-context.js'

/*
 * How to log. A class holds `private readonly logger = new Logger(Runs.name)` of @nestjs/common and says what happened in a
 * constant sentence, with the particulars as members: `this.logger.warn({ runId, attempt }, 'a step timed out')`. The ids of the
 * request, of the run and of the trace are added by themselves. `error` is for what an operator must look at, `warn` for what may need it, `log` for what happens seldom,
 * `debug` for the rest. Errors go under `err`. Never log bodies, headers, definitions, inputs or outputs: they are users' data.
 */

export type Log = Logger

/** The process's log: JSON lines, or readable ones on a terminal. */
export function createLog(
  { logLevel, logFormat, production }: Pick<Config, 'logLevel' | 'logFormat' | 'production'>,
  destination?: DestinationStream,
): Log {
  const readable = logFormat === 'text' || (logFormat === 'auto' && !production && process.stdout.isTTY === true)
  return pino(
    {
      level: logLevel,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      mixin: () => {
        const work = workContext()
        if (work) return { ...work }
        const context = requestContext()
        return context ? { requestId: context.requestId, traceId: context.trace?.traceId } : {}
      },
      // Members given to a line win over those of the mixin.
      mixinMergeStrategy: (given: object, mixed: object) => ({ ...mixed, ...given }),
      // Takes over what serializers do, because it must see errors before they become plain objects.
      serializers: { err: (error: unknown) => error },
      formatters: {
        level: (label) => ({ level: label }),
        log: (members) => redact(members) as Record<string, unknown>,
      },
    },
    readable ? readableLines(destination ?? process.stdout) : (destination ?? pino.destination({ fd: 1, sync: true })),
  )
}

function readableLines(out: DestinationStream): DestinationStream {
  return { write: (line) => out.write(readableLine(line)) }
}
