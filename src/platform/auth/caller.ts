import { createParamDecorator, type ExecutionContext } from '@nestjs/common'
import type { Request } from 'express'
import type { Principal } from './principal.js'

/** Hands a handler who is calling. Under `@Public()` there is nobody, and it is undefined. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): Principal | undefined =>
  principalIn(context.switchToHttp().getRequest<Request>()),
)

/** The principal that the guard left on the request. */
export function principalIn(request: Request): Principal | undefined {
  return request.user as Principal | undefined
}
