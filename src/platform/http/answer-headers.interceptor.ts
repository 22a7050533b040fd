import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common'
import type { Request, Response } from 'express'
import { map, type Observable } from 'rxjs'
import { type Answer, answerOf } from '../openapi/operations.js'
import { pagingOf } from '../openapi/paging.js'
import { entityTag } from './headers.js'
import { pageLinks } from './page-links.js'

/**
 * Sends `Location` and `ETag` where `@Answers` says where the thing can be read, and which member tells its version, and `Link` with a
 * page of a list. Handlers that send their answer themselves do so for themselves.
 */
@Injectable()
export class AnswerHeadersInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const handler = context.getHandler()
    const answer = answerOf(handler)
    const paging = pagingOf(context.getClass(), handler.name)
    if (answer?.location === undefined && answer?.version === undefined && !paging) return next.handle()
    const response = context.switchToHttp().getResponse<Response>()
    const request = context.switchToHttp().getRequest<Request>()
    return next.handle().pipe(
      map((body) => {
        if (response.headersSent) return body
        if (answer) response.setHeaders(headersOf(answer, body, request.params as Record<string, string>))
        if (paging) response.setHeader('Link', pageLinks(request, paging, body))
        return body
      }),
    )
  }
}

type Values = Readonly<Record<string, unknown>>

function headersOf({ location, version }: Answer, body: Values, parameters: Values): Map<string, string> {
  const headers = new Map<string, string>()
  if (location !== undefined) headers.set('Location', filled(location, body, parameters))
  if (version !== undefined) headers.set('ETag', entityTag(String(body[version])))
  return headers
}

/** `{id}` is a member of the answer, or else a parameter of the path; `{path.id}` is the parameter where both have one. */
function filled(template: string, body: Values, parameters: Values): string {
  return template.replace(/\{(path\.)?(\w+)\}/g, (_, ofPath: string | undefined, name: string) =>
    encodeURIComponent(String(ofPath ? parameters[name] : (body[name] ?? parameters[name]))),
  )
}
