import type { LoggerService } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { dialects } from '../dialects/index.js'
import { readConfig } from '../platform/config/config.js'
import { createLog } from '../platform/log/log.js'
import { type AsyncDocument, asyncDocument } from '../platform/openapi/asyncapi.js'
import type { Document } from '../platform/openapi/document.js'
import { DocumentError, masterDocument } from '../platform/openapi/documents.js'
import { AppModule } from './app.module.js'

/** What the whole application publishes about itself. */
export interface PublishedDocuments {
  /** The master document of its operations. */
  openapi: Document
  /** Its WebSockets. */
  asyncapi: AsyncDocument
}

/** Nothing is started for them; a warning of the generator is an error. */
export async function publishedDocuments(): Promise<PublishedDocuments> {
  const warnings: string[] = []
  const config = readConfig({ LOG_LEVEL: 'silent', JWT_SECRET: 'x'.repeat(32), ENCRYPTION_KEY: '00'.repeat(32) })
  const app = await NestFactory.create(AppModule.with(config, createLog(config)), {
    preview: true,
    abortOnError: false,
    logger: false,
  })
  await app.init()
  app.useLogger(collecting(warnings))
  const openapi = masterDocument(app, dialects)
  if (warnings.length > 0) throw new DocumentError(warnings)
  return { openapi, asyncapi: asyncDocument(app, dialects) }
}

function collecting(warnings: string[]): LoggerService {
  const collect = (message: unknown) => void warnings.push(String(message))
  return { log: () => {}, debug: () => {}, verbose: () => {}, warn: collect, error: collect, fatal: collect }
}
