import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { TestCertificate } from '../certificate.js'

/**
 * Encryption in front of a PostgreSQL server that has none: answers the SSLRequest with `S`, speaks TLS, and passes on what it hears.
 * Counts the connections that asked for encryption.
 */
export async function postgresBehindTls(target: { host: string; port: number }, certificate: TestCertificate) {
  const sockets = new Set<Socket>()
  let encrypted = 0
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', (first) => {
      if (first.readInt32BE(4) !== 80_877_103) return socket.destroy()
      encrypted++
      socket.write('S')
      const secure = new TLSSocket(socket, { isServer: true, ...certificate })
      const upstream = connect(target)
      sockets.add(upstream)
      for (const one of [secure, upstream]) one.on('error', () => [secure, upstream].map((each) => each.destroy()))
      secure.pipe(upstream).pipe(secure)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    encrypted: () => encrypted,
    async stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
