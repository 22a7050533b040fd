import type { RequestListener, Server } from 'node:http'

/**
 * Ends each connection with the answer to its request once the server has closed its port. Without this a client that never pauses
 * keeps its connection, and with it a process that was asked to end.
 */
export function lastAnswers(
  server: () => Pick<Server, 'listening'>,
): (...heard: [...Parameters<RequestListener>, () => void]) => void {
  return (_, response, next) => {
    // Told at the latest moment: the port may be closed while the request is worked on.
    const { writeHead } = response
    response.writeHead = ((...args: Parameters<typeof writeHead>) => {
      if (!server().listening) response.shouldKeepAlive = false
      return writeHead.apply(response, args)
    }) as typeof writeHead
    next()
  }
}
