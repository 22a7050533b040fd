import 'reflect-metadata'
import { NestFactory } from '@nestjs/core'
import { ConfigError, configOrExit } from '../platform/config/config.js'
import { armCrashPoint } from '../platform/crash-point/crash-point.js'
import { EmbeddedPostgresError } from '../platform/database/embedded-error.js'
import { createLog } from '../platform/log/log.js'
import { NestLog } from '../platform/log/nest-log.js'
import { WorkerModule } from './worker.module.js'

/**
 * `npm run start:worker`: works on runs beside other processes of the same database, without HTTP, until SIGTERM or SIGINT: then takes
 * no more, finishes or hands back what runs, and ends with 0.
 */
async function work(): Promise<void> {
  const config = configOrExit()
  armCrashPoint(config.crashAt)
  const log = createLog(config)
  try {
    const worker = await NestFactory.createApplicationContext(WorkerModule.with(config, log), {
      logger: new NestLog(log),
      abortOnError: false,
    })
    worker.enableShutdownHooks(['SIGTERM', 'SIGINT'], { useProcessExit: true })
    const { workerTags: tags, maxActiveRuns } = config
    log.info({ tags, maxActiveRuns }, `working on up to ${maxActiveRuns} runs with the tags ${tags.join(', ')}`)
  } catch (error) {
    const forOperator = error instanceof EmbeddedPostgresError || error instanceof ConfigError
    log.fatal(forOperator ? {} : { err: error }, `cannot start: ${(error as Error).message}`)
    process.exitCode = 1
    setTimeout(() => process.exit(), 1_000).unref()
  }
}

await work()
