import type { LoggerService } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { dialects } from '../dialects/index.js'
import { readConfig } from '../platform/config/config.js'
import { createLog } from '../platform/log/log.js'
import type { Document } from '../platform/openapi/document.js'
import { DocumentError, masterDocument } from '../platform/openapi/documents.js'
import { AppModule } from './app.module.js'

/** The master document of the whole application. Nothing is started for it; a warning of the generator is an error. */
export async function publishedDocument(): Promise<Document> {
  const warnings: string[] = []
  const config = readConfig({ LOG_LEVEL: 'silent', JWT_SECRET: 'x'.repeat(32), ENCRYPTION_KEY: '00'.repeat(32) })
  const app = await NestFactory.create(AppModule.with(config, createLog(config)), {
    preview: true,
    abortOnError: false,
    logger: false,
  })
  await app.init()
  app.useLogger(collecting(warnings))
  const document = masterDocument(app, dialects)
  if (warnings.length > 0) throw new DocumentError(warnings)
  return document
}

function collecting(warnings: string[]): LoggerService {
  const collect = (message: unknown) => void warnings.push(String(message))
  return { log: () => {}, debug: () => {}, verbose: () => {}, warn: collect, error: collect, fatal: collect }
}
