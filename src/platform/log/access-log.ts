import type { RequestHandler } from 'express'
import type { RequestLocals } from '../telemetry/request-telemetry.js'
import type { Log } from './log.js'

/** Paths that are asked for all the time by machines. */
const QUIET = new Set(['/api/health', '/api/v1/health', '/metrics'])

/**
 * One line for each request once its answer is sent, or once the caller is gone. Comes before everything else, so that refused
 * requests are logged too. The query stays out: tokens travel there on WebSockets.
 */
export function accessLog(log: Log): RequestHandler {
  return (request, response, next) => {
    const start = performance.now()
    const [path = ''] = request.originalUrl.split('?')
    response.once('close', () => {
      const status = response.statusCode
      const level = status >= 500 ? 'error' : QUIET.has(path) ? 'debug' : 'info'
      const requestId = response.getHeader('x-request-id')
      const traceId = (response.locals as RequestLocals).span?.spanContext().traceId
      const ms = Math.round((performance.now() - start) * 10) / 10
      const answered = response.writableFinished
      log[level](
        {
          context: 'Http',
          requestId,
          traceId,
          method: request.method,
          path,
          status: answered ? status : undefined,
          ms,
        },
        answered ? 'answered' : 'the caller hung up',
      )
    })
    next()
  }
}
