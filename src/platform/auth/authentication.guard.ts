import type { CanActivate, ExecutionContext, Type } from '@nestjs/common'
import { Injectable } from '@nestjs/common'
import { AuthGuard, type IAuthGuard } from '@nestjs/passport'
import type { Request, Response } from 'express'
import { isPublic, surfaceOf } from '../openapi/operations.js'
import { AcceptedCredentials, type CredentialScheme } from './accepted-credentials.js'
import { Forbidden, Unauthenticated } from './auth.errors.js'
import { principalIn } from './caller.js'
import { rolesOf } from './roles.js'

/**
 * The one guard of all routes. A route is public by `@Public()`, or the request carries a credential of a kind that the route's
 * surface accepts; the scheme of `Authorization` picks the strategy, so one request never tries two.
 */
@Injectable()
export class AuthenticationGuard implements CanActivate {
  private readonly byScheme: Record<CredentialScheme, IAuthGuard> = {
    bearer: new (through('bearer'))(),
    basic: new (through('basic'))(),
  }

  constructor(private readonly accepted: AcceptedCredentials) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const handler = context.getHandler()
    const controller = context.getClass()
    if (isPublic(handler, controller)) return true
    const request = context.switchToHttp().getRequest<Request>()
    await this.authenticate(context, request, this.accepted.of(surfaceOf(controller)?.surface))
    const roles = rolesOf(handler, controller)
    const role = principalIn(request)?.role
    if (roles && !(role && roles.includes(role))) throw new Forbidden()
    return true
  }

  private async authenticate(context: ExecutionContext, request: Request, accepted: readonly CredentialScheme[]) {
    const used = schemeOf(request)
    try {
      if (!used || !accepted.includes(used)) throw new Unauthenticated()
      await this.byScheme[used].canActivate(context)
    } catch (error) {
      if (error instanceof Unauthenticated) challenge(context.switchToHttp().getResponse<Response>(), used, accepted)
      throw error
    }
  }
}

/** Nest's guard around one passport strategy. What a strategy throws keeps its meaning; what it merely refuses is one 401 for all. */
function through(scheme: CredentialScheme): Type<IAuthGuard> {
  class StrategyGuard extends AuthGuard(scheme) {
    override handleRequest<T>(error: unknown, principal: T | false): T {
      if (error) throw error
      if (!principal) throw new Unauthenticated()
      return principal
    }
  }
  return StrategyGuard
}

function schemeOf(request: Request): CredentialScheme | undefined {
  const scheme = /^\s*(\w+) /.exec(request.headers.authorization ?? '')?.[1]?.toLowerCase()
  return scheme === 'bearer' || scheme === 'basic' ? scheme : undefined
}

/**
 * RFC 9110 wants a challenge with every 401. Basic is offered only to those who tried it: browsers answer that offer with a
 * password dialogue of their own.
 */
function challenge(
  response: Response,
  used: CredentialScheme | undefined,
  accepted: readonly CredentialScheme[],
): void {
  const basic = used === 'basic' && accepted.includes('basic')
  const failed = used === 'bearer' ? ', error="invalid_token"' : ''
  response.setHeader(
    'WWW-Authenticate',
    basic ? 'Basic realm="millrace", charset="UTF-8"' : `Bearer realm="millrace"${failed}`,
  )
}
