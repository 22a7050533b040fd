import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

/** Whether `port` can be listened on at this moment. */
export async function isFree(port: number, host: string): Promise<boolean> {
  return (await tryPort(port, host)) !== undefined
}

/** A port that nobody listens on. */
export async function freePort(host: string): Promise<number> {
  const port = await tryPort(0, host)
  if (port === undefined) throw new Error(`there is no free port on ${host}`)
  return port
}

async function tryPort(port: number, host: string): Promise<number | undefined> {
  const server = createServer().listen(port, host)
  try {
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  } catch (error) {
    if (['EADDRINUSE', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  } finally {
    server.close()
  }
}
