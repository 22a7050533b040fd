import 'reflect-metadata'
import type { AddressInfo } from 'node:net'
import { configOrExit } from '../platform/config/config.js'
import { createLog } from '../platform/log/log.js'
import { createApp } from './create-app.js'

/** Serves until SIGTERM or SIGINT: then takes no more work, finishes or hands back what runs, and ends with 0. */
async function serve(): Promise<void> {
  const config = configOrExit()
  const log = createLog(config)
  try {
    const app = await createApp({ config, log })
    app.enableShutdownHooks(['SIGTERM', 'SIGINT'], { useProcessExit: true })
    await app.listen(config.port, config.host)
    const { address, family, port } = app.getHttpServer().address() as AddressInfo
    const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
    log.info({ url, docs: `${url}/docs` }, `listening on ${url}, documentation at ${url}/docs`)
  } catch (error) {
    log.fatal({ err: error }, `cannot start: ${(error as Error).message}`)
    process.exitCode = 1
    setTimeout(() => process.exit(), 1_000).unref()
  }
}

await serve()
