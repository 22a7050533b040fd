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
        response.setHeaders(headersOf(answer, body, parameters))
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
