import { type CanActivate, type ExecutionContext, Injectable, Optional } from '@nestjs/common'
import type { Request, Response } from 'express'
import { principalIn } from '../auth/caller.js'
import { isMachine } from '../auth/machine-token.js'
import { OwnLimits } from '../rates/own-limits.js'
import { type Allowance, RateCounter } from '../rates/rate-counter.js'
import { RateLimited } from './refusals.js'
import { requestContext } from './request-context.js'

const COUNTED = Symbol('counted')
const COUNTS_ITSELF = Symbol('counts itself')

/** Requests to this controller count against something that only its handlers know. They call `count`. */
export function CountsItself(): ClassDecorator {
  return (target) => Reflect.defineMetadata(COUNTS_ITSELF, true, target)
}

/**
 * Counts each request once: against its principal, or its address where it has none. It stands behind the guard that knows the
 * principal; what fails before (a wrong credential, an unknown path) is counted when its problem is written, so guessing is limited too.
 */
@Injectable()
export class RateLimitGuard implements CanActivate {
  constructor(
    private readonly counter: RateCounter,
    @Optional() private readonly ownLimits?: OwnLimits,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (Reflect.getMetadata(COUNTS_ITSELF, context.getClass())) return true
    const http = context.switchToHttp()
    await this.count(http.getRequest(), http.getResponse())
    return true
  }

  /** Throws `RateLimited` when the request is one too many. Sets the headers in any case. `against` names what is no principal. */
  async count(request: Request & { [COUNTED]?: true }, response: Response, against?: string): Promise<void> {
    if (request[COUNTED] || isMachine(request)) return
    request[COUNTED] = true
    const principal = principalIn(request)
    const who = against ?? (principal ? principal.accountId : `address ${request.ip}`)
    const allowance = await this.counter.hit(who)
    const own = await this.countOwn(who, request, allowance)
    const tighter = own && (!allowance || own.remaining < allowance.remaining) ? own : allowance
    if (tighter) announce(tighter, response)
  }

  /** Against the limit that its API has of its own, unless it is refused anyway. */
  private async countOwn(who: string, request: Request, general?: Allowance): Promise<Allowance | undefined> {
    const own = this.ownLimits?.of(requestContext()?.surface, request)
    if (!own || (general && general.remaining < 0)) return undefined
    return await this.counter.hit(`${who} ${own.name}`, own.limit)
  }
}

function announce({ limit, remaining, resetAt, retryAfter }: Allowance, response: Response): void {
  response.setHeader('X-RateLimit-Limit', limit)
  response.setHeader('X-RateLimit-Remaining', Math.max(0, remaining))
  response.setHeader('X-RateLimit-Reset', Math.ceil(resetAt.getTime() / 1000))
  if (remaining >= 0) return
  throw new RateLimited(limit, retryAfter)
}
