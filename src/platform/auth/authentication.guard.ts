import type { CanActivate, ExecutionContext } from '@nestjs/common'
import { Injectable } from '@nestjs/common'
import type { Request, Response } from 'express'
import passport, { type Strategy } from 'passport'
import { Config } from '../config/config.js'
import { DomainError } from '../errors/domain-error.js'
import { Dialects } from '../http/dialects.js'
import { requestContext } from '../http/request-context.js'
import { isPublic, surfaceOf } from '../openapi/operations.js'
import type { CredentialScheme } from './accepted-credentials.js'
import { Forbidden, Unauthenticated } from './auth.errors.js'
import { BasicStrategy } from './basic.strategy.js'
import { BearerStrategy } from './bearer.strategy.js'
import { isMachineToken, machineTokenOf, markMachine } from './machine-token.js'
import type { Principal } from './principal.js'
import { rolesOf } from './roles.js'

/**
 * The one guard of all routes. A route is public by `@Public()`, or the request carries a credential of a kind that the route's
 * surface accepts; the scheme of `Authorization` picks the strategy, so one request never tries two.
 */
@Injectable()
export class AuthenticationGuard implements CanActivate {
  private readonly strategies: Record<CredentialScheme, Strategy>

  constructor(
    private readonly dialects: Dialects,
    bearer: BearerStrategy,
    basic: BasicStrategy,
    private readonly config: Config,
  ) {
    this.strategies = { bearer, basic }
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const handler = context.getHandler()
    const controller = context.getClass()
    if (isPublic(handler, controller)) return true
    const request = context.switchToHttp().getRequest<Request>()
    const response = context.switchToHttp().getResponse<Response>()
    if (this.isMachine(request, handler)) return true
    const principal = await this.authenticate(request, response, this.acceptedBy(controller))
    const known = requestContext()
    if (known) known.principal = principal
    const roles = rolesOf(handler, controller)
    if (roles && !roles.includes(principal.role)) throw new Forbidden()
    request.user = principal
    return true
  }

  private isMachine(request: Request, handler: object): boolean {
    const name = machineTokenOf(handler)
    const token = name && this.config[name]
    if (token === undefined || !isMachineToken(request.headers.authorization, token)) return false
    markMachine(request)
    return true
  }

  /** Routes outside all surfaces take tokens only. */
  private acceptedBy(controller: object): readonly CredentialScheme[] {
    const surface = surfaceOf(controller)?.surface
    return surface ? this.dialects.of(surface).accepts : ['bearer']
  }

  private async authenticate(
    request: Request,
    response: Response,
    accepted: readonly CredentialScheme[],
  ): Promise<Principal> {
    const scheme = schemeOf(request)
    try {
      if (!scheme || !accepted.includes(scheme)) throw new Unauthenticated()
      return await ask(this.strategies[scheme], request, response)
    } catch (error) {
      if (error instanceof DomainError && error.kind === 'unauthenticated') challenge(response, scheme, accepted)
      throw error
    }
  }
}

/**
 * Lets a passport strategy answer. It is handed over as an object, not by its name: names are registered once per process, and a
 * second application in the process would take over the first one's. What a strategy throws keeps its meaning; what it merely
 * refuses is one 401 for all.
 */
function ask(strategy: Strategy, request: Request, response: Response): Promise<Principal> {
  return new Promise((resolve, reject) => {
    const answer = (error: unknown, principal?: Principal | false | null) => {
      if (error) reject(error)
      else if (principal) resolve(principal)
      else reject(new Unauthenticated())
    }
    // passport hangs the answers of a request on the strategy itself: each request has its own, or one would get another's principal.
    const own: Strategy = Object.create(strategy)
    passport.authenticate(own, { session: false }, answer)(request, response, reject)
  })
}

function schemeOf(request: Request): CredentialScheme | undefined {
  const scheme = /^(\w+) /.exec(request.headers.authorization ?? '')?.[1]?.toLowerCase()
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
