import { Inject, Injectable } from '@nestjs/common'
import { JwtService } from '@nestjs/jwt'
import { CLOCK_TOLERANCE_S } from '../../../platform/auth/access-token.js'
import { Unauthenticated } from '../../../platform/auth/auth.errors.js'
import { headerOf } from '../../../platform/auth/token-kind.js'
import { CLOCK, type Clock } from '../../../platform/clock/clock.js'
import { Config } from '../../../platform/config/config.js'
import { KeySet } from './key-set.js'

const GOOGLE = 'https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com'

/** What Firebase says of somebody, in a token that it signed. */
export interface Identity {
  issuer: string
  /** Firebase's own name for them, the same for ever. */
  subject: string
  /** Undefined where there is none that Firebase has checked. */
  verifiedEmail?: string
  name?: string
  expiresAt: Date
}

interface Claims {
  sub?: unknown
  aud?: unknown
  iat?: unknown
  exp?: unknown
  auth_time?: unknown
  email?: unknown
  email_verified?: unknown
  name?: unknown
}

/**
 * Checks Firebase's ID tokens: signed by RS256 with one of its keys of now, by the issuer and for the audience of the configured project,
 * in their time. The algorithm is ours to name, not the token's.
 */
@Injectable()
export class IdTokens {
  private readonly jwt = new JwtService()
  private readonly keys: KeySet
  private readonly project?: string

  constructor(
    { firebaseProjectId, firebaseJwks }: Config,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.project = firebaseProjectId
    this.keys = new KeySet(firebaseJwks ?? GOOGLE, clock)
  }

  /** Throws `Unauthenticated`, and `Unavailable` where the keys cannot be had. */
  async verify(token: string): Promise<Identity> {
    const { kid } = headerOf(token)
    if (!this.project || typeof kid !== 'string') throw new Unauthenticated()
    const key = await this.keys.find(kid)
    if (!key) throw new Unauthenticated()
    const issuer = `https://securetoken.google.com/${this.project}`
    const now = Math.floor(this.clock.now().getTime() / 1000)
    const claims = this.checked(token, {
      // A key, not a text; the types know texts only.
      secret: key as unknown as Buffer,
      algorithms: ['RS256'],
      issuer,
      clockTimestamp: now,
      clockTolerance: CLOCK_TOLERANCE_S,
    })
    if (!isCurrent(claims, now) || claims.aud !== this.project) throw new Unauthenticated()
    const { sub, exp, email, email_verified, name } = claims
    if (typeof sub !== 'string' || !/^[^\0]{1,128}$/.test(sub)) throw new Unauthenticated()
    return {
      issuer,
      subject: sub,
      ...(email_verified === true && isAddress(email) && { verifiedEmail: email }),
      ...(typeof name === 'string' && { name }),
      expiresAt: new Date(Number(exp) * 1000),
    }
  }

  private checked(token: string, checks: Parameters<JwtService['verify']>[1]): Claims {
    try {
      return this.jwt.verify<Claims>(token, checks)
    } catch {
      throw new Unauthenticated()
    }
  }
}

/** That `exp` lies ahead is checked with the signature, where it is there. */
function isCurrent({ iat, exp, auth_time = iat }: Claims, now: number): boolean {
  const begun = (time: unknown) => typeof time === 'number' && time <= now + CLOCK_TOLERANCE_S
  return typeof exp === 'number' && begun(iat) && begun(auth_time)
}

function isAddress(email: unknown): email is string {
  return typeof email === 'string' && email.length <= 254 && /^[^\s\0@]+@[^\s\0@]+$/.test(email)
}
