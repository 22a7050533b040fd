import { createParamDecorator, type ExecutionContext } from '@nestjs/common'
import type { Request } from 'express'

/** The name of the cookie that holds a session. */
export const SESSION_COOKIE = 'sid'

/** How long a session lasts after its last use. */
export const SESSION_LIFETIME_S = 3_600

/** 32 random bytes. */
const VALUE = new RegExp(`(?:^|;) *${SESSION_COOKIE}=([A-Za-z0-9_-]{43}) *(?:;|$)`)

/** What the session's cookie holds, in a `Cookie` header; undefined where there is none that could be ours. */
export function sessionIn(header: string | undefined): string | undefined {
  return VALUE.exec(header ?? '')?.[1]
}

/**
 * The cookie of a session. Scripts cannot read it, other sites' requests do not carry it, and where the caller came by TLS, be it to
 * a trusted proxy, it never travels without.
 */
export class SessionCookie {
  constructor(private readonly request: Request) {}

  get value(): string | undefined {
    return sessionIn(this.request.headers.cookie)
  }

  set(value: string): void {
    this.request.res?.cookie(SESSION_COOKIE, value, { ...this.attributes, maxAge: SESSION_LIFETIME_S * 1000 })
  }

  clear(): void {
    this.request.res?.clearCookie(SESSION_COOKIE, this.attributes)
  }

  private get attributes() {
    return { httpOnly: true, sameSite: 'strict', path: '/', secure: this.request.secure } as const
  }
}

/** Hands a handler the caller's cookie, to be set or cleared. */
export const Cookie = createParamDecorator(
  (_: unknown, context: ExecutionContext): SessionCookie => new SessionCookie(context.switchToHttp().getRequest()),
)
