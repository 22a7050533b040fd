import type { IncomingMessage, RequestListener, Server } from 'node:http'

/** For so long a request may send nothing of its body. */
const IDLE_MS = 120_000

/**
 * Lets a body take as long as it comes, be it for hours, and ends the connection of one that does not come. Node would end any request after
 * five minutes.
 */
export function slowBodies(
  server: Pick<Server, 'requestTimeout'>,
  idleMs = IDLE_MS,
): (...heard: [...Parameters<RequestListener>, () => void]) => void {
  server.requestTimeout = 0
  return (request, response, next) => {
    if (hasBody(request)) {
      request.socket.setTimeout(idleMs)
      // After its answer the connection has the timeout of idle ones.
      request.once('end', () => {
        if (!response.writableFinished) request.socket.setTimeout(0)
      })
    }
    next()
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}
