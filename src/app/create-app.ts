import { NestFactory } from '@nestjs/core'
import type { NestExpressApplication } from '@nestjs/platform-express'
import { S3Protocol } from '../modules/s3/s3-protocol.js'
import type { Config } from '../platform/config/config.js'
import { prepareHttp } from '../platform/http/prepare.js'
import { accessLog } from '../platform/log/access-log.js'
import type { Log } from '../platform/log/log.js'
import { NestLog } from '../platform/log/nest-log.js'
import { RequestTelemetry } from '../platform/telemetry/request-telemetry.js'
import { AppModule } from './app.module.js'

export interface AppOptions {
  config: Config
  log: Log
}

/** The application as it is served and as it is tested; it listens to nothing yet. */
export async function createApp({ config, log }: AppOptions): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule.with(config, log), {
    logger: new NestLog(log),
    bodyParser: false,
    abortOnError: false,
  })
  prepareHttp(app, config, app.get(RequestTelemetry).handler, accessLog(log), app.get(S3Protocol).handler)
  return app
}
