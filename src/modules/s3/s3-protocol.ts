import type { IncomingMessage } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { Injectable, Logger } from '@nestjs/common'
import type { Request, RequestHandler, Response } from 'express'
import { WRITERS } from '../../platform/auth/principal.js'
import { DomainError } from '../../platform/errors/domain-error.js'
import { RateLimitGuard } from '../../platform/http/rate-limit.guard.js'
import { RefusedCalls } from '../../platform/http/refused-calls.js'
import { type RequestContext, requestContext, runInContext } from '../../platform/http/request-context.js'
import { asDomainError } from '../../platform/http/translate.js'
import { newId } from '../../platform/ids.js'
import type { RequestLocals } from '../../platform/telemetry/request-telemetry.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { isManaged, isVisible } from '../storage/bucket-access.js'
import { EmbeddedStores } from '../storage/embedded/embedded-stores.js'
import { BucketNotFound, RangeNotSatisfiable } from '../storage/storage.errors.js'
import { EMBEDDED_PROVIDER } from '../storage/storage-providers.js'
import { payloadOf, wholePayload } from './body/payload.js'
import { operationOf, type S3Operation } from './operations/index.js'
import { asS3Error, S3Error } from './s3.errors.js'
import type { S3Answer, S3Call } from './s3-call.js'
import { type S3Caller, S3Callers } from './s3-callers.js'
import { isS3, readRequest, type S3Request } from './s3-request.js'
import { errorDocument, xmlDocument } from './xml.js'

/** What is left of a refused body is read, to keep the connection; of more than that the connection ends. */
const READ_IN_VAIN = 1024 * 1024

/**
 * The S3 protocol at `/s3`. It stands in front of the routes, because it is a language of its own: paths are keys and kept literally, callers are
 * known by signatures, errors are XML. A request is read, its signature checked, counted, and given to one operation; what an operation
 * changes is in the audit trail as elsewhere.
 */
@Injectable()
export class S3Protocol {
  private readonly logger = new Logger('S3')

  constructor(
    private readonly callers: S3Callers,
    private readonly stores: EmbeddedStores,
    private readonly limits: RateLimitGuard,
    private readonly trail: AuditTrail,
    private readonly refused: RefusedCalls,
  ) {}

  readonly handler: RequestHandler = (request, response, next) => {
    if (!isS3(request.originalUrl)) return next()
    const context: RequestContext = {
      requestId: newId('req'),
      ip: request.ip ?? '',
      path: request.originalUrl.split('?')[0] ?? '',
      trace: (response.locals as RequestLocals).span?.spanContext(),
    }
    runInContext(context, () => void this.serve(request, response, context.requestId))
  }

  private async serve(request: Request, response: Response, requestId: string): Promise<void> {
    protect(response, requestId)
    let asked: S3Request | undefined
    let operation: S3Operation | undefined
    try {
      asked = readRequest({ method: request.method, url: request.originalUrl, rawHeaders: request.rawHeaders })
      response.locals.route = `/s3${asked.bucket === undefined ? '' : '/{bucket}'}${asked.key === undefined ? '' : '/{key}'}`
      const caller = await this.enter(asked, request, response)
      operation = operationOf(asked)
      await send(request, response, await this.answer(asked, operation, caller, request))
    } catch (error) {
      await this.refuse(error, { request, response, asked, operation })
    }
  }

  /** Who it is, counted. */
  private async enter(asked: S3Request, request: Request, response: Response): Promise<S3Caller> {
    const caller = await this.callers.known(asked)
    const context = requestContext()
    if (context) context.principal = caller.principal
    request.user = caller.principal
    await this.limits.count(request, response)
    return caller
  }

  private async answer(
    asked: S3Request,
    operation: S3Operation,
    { principal, signature }: S3Caller,
    body: IncomingMessage,
  ): Promise<S3Answer> {
    const { bucket } = asked
    if (bucket !== undefined && !isVisible(principal, bucket)) throw new BucketNotFound(bucket)
    if (operation.action !== undefined) {
      if (!WRITERS.includes(principal.role) || (bucket !== undefined && isManaged(bucket)))
        throw new S3Error('AccessDenied')
    }
    const call: S3Call = {
      request: asked,
      caller: principal,
      store: this.stores.of(principal.tenantId),
      presigned: signature.presigned,
      payload: () => payloadOf(asked, body, signature),
      body: (limit) => wholePayload(asked, body, signature, limit),
      audit: async (tx, { after, ...entry }) => {
        await this.callers.requireStill(signature)
        await this.trail.record(tx, { actor: principal, ...entry, after: { ...after, provider: EMBEDDED_PROVIDER } })
      },
    }
    return await operation.serve(call)
  }

  private async refuse(thrown: unknown, { request, response, asked, operation }: Refusal): Promise<void> {
    // The caller is gone, and took the reason along.
    if (request.destroyed && !request.complete) return void response.destroy()
    const cause = await this.counted(thrown, request, response)
    const error = cause instanceof S3Error ? cause : asS3Error(cause)
    if (error.status >= 500 && error.code !== 'NotImplemented' && error.code !== 'SlowDown')
      this.logger.error({ err: cause instanceof DomainError ? (cause.cause ?? cause) : cause }, error.message)
    if (response.headersSent) return void response.destroy()
    await this.note(error, asked, operation)
    if (cause instanceof RangeNotSatisfiable) response.setHeader('Content-Range', `bytes */${cause.size}`)
    if (cause instanceof DomainError && cause.retryAfter !== undefined)
      response.setHeader('Retry-After', cause.retryAfter)
    const left = Number(request.headers['content-length'] ?? 0)
    if (!request.complete && !(left <= READ_IN_VAIN)) response.shouldKeepAlive = false
    const document = errorDocument({
      Code: error.code,
      Message: error.message,
      ...error.more,
      ...(asked?.bucket !== undefined && { BucketName: asked.bucket }),
      ...(asked?.key !== undefined && { Key: asked.key }),
      Resource: asked?.path ?? '',
      RequestId: requestContext()?.requestId ?? '',
    })
    response.statusCode = error.status
    writeXml(request, response, document)
  }

  /** What was refused before it was counted counts against its address, and may be one too many. */
  private async counted(thrown: unknown, request: Request, response: Response): Promise<S3Error | DomainError> {
    const error = thrown instanceof S3Error ? thrown : asDomainError(thrown, request.originalUrl)
    try {
      await this.limits.count(request, response)
      return error
    } catch (refusal) {
      return asDomainError(refusal, request.originalUrl)
    }
  }

  /** For the audit trail, which has what somebody known was refused to change. */
  private async note(error: S3Error, asked: S3Request | undefined, operation: S3Operation | undefined): Promise<void> {
    const { principal: caller } = requestContext() ?? {}
    const action = operation?.action
    if (!caller || action === undefined || error.code === 'SlowDown' || error.code === 'ServiceUnavailable') return
    const resourceId = [asked?.bucket, asked?.key]
      .filter((part) => part !== undefined)
      .join('/')
      .slice(0, 255)
    await this.refused.note({ caller, action, resourceId, status: error.status, problem: error.code })
  }
}

interface Refusal {
  request: Request
  response: Response
  asked?: S3Request
  operation?: S3Operation
}

/** What is stored is data: if a browser shows it, nothing of it may run, and nothing of it is a page of this server. */
function protect(response: Response, requestId: string): void {
  response.removeHeader('X-Powered-By')
  response.setHeader('x-amz-request-id', requestId)
  response.setHeader('X-Request-Id', requestId)
  response.setHeader('X-Content-Type-Options', 'nosniff')
  response.setHeader('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'; sandbox")
  response.setHeader('Referrer-Policy', 'no-referrer')
}

async function send(
  request: Request,
  response: Response,
  { status = 200, headers = {}, xml, content }: S3Answer,
): Promise<void> {
  response.statusCode = status
  try {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  } catch (error) {
    content?.destroy()
    throw error
  }
  if (xml) return writeXml(request, response, xmlDocument(xml.root, xml.content))
  if (!content) return void response.end()
  await pipeline(content, response)
}

function writeXml(request: Request, response: Response, document: string): void {
  response.setHeader('Content-Type', 'application/xml')
  response.setHeader('Content-Length', Buffer.byteLength(document))
  response.end(request.method === 'HEAD' ? undefined : document)
}
