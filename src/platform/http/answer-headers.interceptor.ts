import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common'
import type { Response } from 'express'
import { map, type Observable } from 'rxjs'
import { type Answer, answerOf } from '../openapi/operations.js'
import { entityTag } from './headers.js'

/** Sends `Location` and `ETag` where `@Answers` says where the thing can be read, and which member tells its version. */
@Injectable()
export class AnswerHeadersInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const answer = answerOf(context.getHandler())
    if (answer?.location === undefined && answer?.version === undefined) return next.handle()
    const response = context.switchToHttp().getResponse<Response>()
    const parameters = context.switchToHttp().getRequest().params as Record<string, string>
    return next.handle().pipe(
      map((body) => {
        response.setHeaders(headersOf(answer, { ...parameters, ...body }))
        return body
      }),
    )
  }
}

function headersOf({ location, version }: Answer, values: Record<string, unknown>): Map<string, string> {
  const headers = new Map<string, string>()
  if (location !== undefined) headers.set('Location', filled(location, values))
  if (version !== undefined) headers.set('ETag', entityTag(String(values[version])))
  return headers
}

function filled(template: string, values: Record<string, unknown>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(values[name])))
}
