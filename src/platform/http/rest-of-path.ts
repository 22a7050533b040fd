import { createParamDecorator, type ExecutionContext } from '@nestjs/common'
import { ApiParam } from '@nestjs/swagger'
import type { Request } from 'express'

/**
 * What a route with `*name` takes of the path, literally: slashes come as they are or percent-encoded, and none is added, doubled or left out.
 * Nest's own pipe would make text with commas of the list that Express tells.
 */
export function RestOfPath(name: string): ParameterDecorator {
  const parameter = createParamDecorator((_: unknown, context: ExecutionContext) => {
    const segments = context.switchToHttp().getRequest<Request>().params[name] as string | string[]
    return typeof segments === 'string' ? segments : segments.join('/')
  })()
  return (target, key, index) => {
    parameter(target, key, index)
    const handler = key !== undefined && Object.getOwnPropertyDescriptor(target, key)
    if (handler) ApiParam({ name })(target, key, handler)
  }
}
