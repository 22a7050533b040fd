import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common'
import type { Response } from 'express'
import { map, type Observable } from 'rxjs'
import { answerOf } from '../openapi/operations.js'

/** Sends `Location` where `@Answers` says where the thing made can be read. */
@Injectable()
export class LocationInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const location = answerOf(context.getHandler())?.location
    if (location === undefined) return next.handle()
    const response = context.switchToHttp().getResponse<Response>()
    const parameters = context.switchToHttp().getRequest().params as Record<string, string>
    return next.handle().pipe(
      map((body) => {
        response.setHeader('Location', filled(location, { ...parameters, ...body }))
        return body
      }),
    )
  }
}

function filled(template: string, values: Record<string, unknown>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(values[name])))
}
