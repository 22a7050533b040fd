import { type ArgumentsHost, Catch, type ExceptionFilter, Injectable, Logger, Optional } from '@nestjs/common'
import type { Request, Response } from 'express'
import type { DomainError } from '../errors/domain-error.js'
import { Dialects } from './dialects.js'
import { plainProblem } from './problem.js'
import { RateLimitGuard } from './rate-limit.guard.js'
import { MethodNotAllowed } from './refusals.js'
import { RefusedCalls } from './refused-calls.js'
import { requestContext } from './request-context.js'
import { statusOfKind } from './statuses.js'
import { asDomainError } from './translate.js'

/** Of what a path names, as much as is noted of a refused call. */
const LONGEST_ID = 255

/** Writes every error as the problem document of the surface that was asked, whatever `Accept` says. */
@Injectable()
@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger('Problem')

  constructor(
    private readonly dialects: Dialects,
    private readonly limits: RateLimitGuard,
    @Optional() private readonly refused?: RefusedCalls,
  ) {}

  async catch(thrown: unknown, host: ArgumentsHost): Promise<void> {
    const http = host.switchToHttp()
    const request = http.getRequest<Request>()
    const response = http.getResponse<Response>()
    const context = requestContext()
    const instance = context?.path ?? request.path
    const error = await this.counted(asDomainError(thrown, instance), request, response)
    const surface = context?.surface
    const dialect = surface ? this.dialects.of(surface) : this.dialects.at(instance)
    const status = (dialect ?? { status: plainStatus }).status(error.kind)
    const requestId = context?.requestId ?? ''
    if (status >= 500 && error.kind !== 'bad_gateway')
      this.logger.error({ err: error.cause ?? error, requestId }, error.title)
    // The stream's own error spelling failed, or the answer broke off: nothing sane can be added to it.
    if (response.headersSent) return void response.destroy()
    await this.tell(error, status, request)
    // RFC 9110 wants a challenge with every 401. The guard has set the one that fits; a login that failed has none of its own.
    if (status === 401 && !response.hasHeader('WWW-Authenticate')) {
      response.setHeader('WWW-Authenticate', 'Bearer realm="millrace"')
    }
    if (error instanceof MethodNotAllowed) response.setHeader('Allow', error.allowed.join(', '))
    if (error.retryAfter !== undefined) response.setHeader('Retry-After', error.retryAfter)
    const problem = (dialect?.problem ?? plainProblem)(error, { status, instance, requestId })
    response.status(status).setHeader('Content-Type', 'application/problem+json')
    response.end(JSON.stringify(problem))
  }

  /** Those that were sent too often are counted, not noted: they would fill the trail. Without a database nothing can be. */
  private async tell({ kind, slug }: DomainError, status: number, request: Request): Promise<void> {
    const { principal: caller, action } = requestContext() ?? {}
    if (!caller || !action || kind === 'rate_limited' || kind === 'unavailable') return
    const resourceId =
      Object.values(request.params ?? {})
        .join('/')
        .slice(0, LONGEST_ID) || undefined
    await this.refused?.note({ caller, action, resourceId, status, problem: slug })
  }

  /** An error that came up before the request was counted counts against its address, and may be one too many. */
  private async counted(error: DomainError, request: Request, response: Response): Promise<DomainError> {
    try {
      await this.limits.count(request, response)
      return error
    } catch (refusal) {
      return refusal as DomainError
    }
  }
}

function plainStatus(kind: DomainError['kind']): number {
  return statusOfKind[kind]
}
