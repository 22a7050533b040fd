import 'reflect-metadata'
import type { AddressInfo } from 'node:net'
import { type Config, ConfigError, configOrExit } from '../platform/config/config.js'
import { armCrashPoint } from '../platform/crash-point/crash-point.js'
import { EmbeddedPostgresError } from '../platform/database/embedded-error.js'
import { createLog } from '../platform/log/log.js'
import { createApp } from './create-app.js'

/** Serves until SIGTERM or SIGINT: then takes no more work, finishes or hands back what runs, and ends with 0. */
async function serve(): Promise<void> {
  const config = configOrExit()
  armCrashPoint(config.crashAt)
  const log = createLog(config)
  try {
    const app = await createApp({ config, log })
    app.enableShutdownHooks(['SIGTERM', 'SIGINT'], { useProcessExit: true })
    await app.listen(config.port, config.host)
    const { address, family, port } = app.getHttpServer().address() as AddressInfo
    const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
    log.info({ url, docs: `${url}/docs` }, `listening on ${url}, documentation at ${url}/docs`)
  } catch (error) {
    const advice = adviceFor(error as NodeJS.ErrnoException, config)
    log.fatal(advice ? {} : { err: error }, `cannot start: ${advice ?? (error as Error).message}`)
    process.exitCode = 1
    setTimeout(() => process.exit(), 1_000).unref()
  }
}

/** What whoever starts the program can mend, in words that say how; it needs no stack. */
function adviceFor(error: NodeJS.ErrnoException, { host, port }: Config): string | undefined {
  if (error instanceof EmbeddedPostgresError || error instanceof ConfigError) return error.message
  switch (error.code) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is taken. Stop what listens there, or choose another PORT.`
    case 'EADDRNOTAVAIL':
      return `this machine has no address ${host}. Choose another HOST.`
    case 'EACCES':
      return `port ${port} on ${host} may not be used by this user. Choose another PORT.`
  }
}

await serve()
