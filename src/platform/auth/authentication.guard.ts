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
import { bearerIn } from './bearer.js'
import { BearerStrategy } from './bearer.strategy.js'
import { isMachineToken, machineTokenOf, markMachine } from './machine-token.js'
import { requireOwnOrigin } from './own-origin.js'
import type { Principal } from './principal.js'
import { rolesOf } from './roles.js'
import { SessionStrategy } from './session.strategy.js'
import { sessionIn } from './session-cookie.js'
import { TokenStrategy } from './token.strategy.js'
import { tokenKind } from './token-kind.js'

/** Methods that change nothing. */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * The one guard of all routes. A route is public by `@Public()`, or the request carries a credential of a kind that the route's
 * surface accepts. The scheme of `Authorization` picks the strategy, and for bearer tokens their kind; a cookie counts only without
 * that header. So one request never tries two.
 */
@Injectable()
export class AuthenticationGuard implements CanActivate {
  constructor(
    private readonly dialects: Dialects,
    private readonly bearer: BearerStrategy,
    private readonly token: TokenStrategy,
    private readonly basic: BasicStrategy,
    private readonly session: SessionStrategy,
    private readonly config: Config,
  ) {}

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
      if (scheme === 'session' && !SAFE.has(request.method)) requireOwnOrigin(request.headers, request.host)
      return await ask(this.strategyFor(scheme, request), request, response)
    } catch (error) {
      if (error instanceof DomainError && error.kind === 'unauthenticated') challenge(response, scheme, accepted)
      throw error
    }
  }

  private strategyFor(scheme: CredentialScheme, { headers }: Request): Strategy {
    if (scheme !== 'bearer') return scheme === 'basic' ? this.basic : this.session
    return tokenKind(bearerIn(headers.authorization) ?? '') === 'access-token' ? this.bearer : this.token
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

function schemeOf({ headers }: Request): CredentialScheme | undefined {
  if (headers.authorization === undefined) return sessionIn(headers.cookie) === undefined ? undefined : 'session'
  const scheme = /^(\w+) /.exec(headers.authorization)?.[1]?.toLowerCase()
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
