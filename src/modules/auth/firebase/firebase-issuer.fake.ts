import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import jwt from 'jsonwebtoken'

export const PROJECT = 'demo-project'
export const ISSUER = `https://securetoken.google.com/${PROJECT}`

interface SigningKey {
  kid: string
  privateKey: KeyObject
  publicKey: KeyObject
}

let made = 0

export function signingKey(modulusLength = 2048): SigningKey {
  return { kid: `kid-${++made}`, ...generateKeyPairSync('rsa', { modulusLength }) }
}

/** Firebase, as far as its ID tokens go: signs them by RS256, and publishes its keys as a JWK set over HTTP. */
export class FirebaseIssuer {
  /** How often the keys were asked for. */
  asked = 0
  /** What it answers; false: it hangs up. */
  status: number | false = 200
  cacheControl?: string
  /** Published besides its own. */
  extra: object[] = []
  keys = [signingKey()]

  private constructor(private readonly server: Server) {}

  static async start(): Promise<FirebaseIssuer> {
    const server = createServer((_, response) => {
      issuer.asked++
      if (issuer.status === false) return void response.destroy()
      response.writeHead(issuer.status, issuer.cacheControl ? { 'Cache-Control': issuer.cacheControl } : {})
      response.end(issuer.jwks)
    })
    const issuer = new FirebaseIssuer(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return issuer
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/keys`
  }

  get jwks(): string {
    const own = this.keys.map(({ kid, publicKey }) => ({
      ...publicKey.export({ format: 'jwk' }),
      kid,
      use: 'sig',
      alg: 'RS256',
    }))
    return JSON.stringify({ keys: [...own, ...this.extra] })
  }

  /** The key that signs. */
  get key(): SigningKey {
    return this.keys[0] as SigningKey
  }

  /** Signs with a new key from now on. The one before stays published, as Google's do. */
  rotate(): void {
    this.keys = [signingKey(), this.key]
  }

  /** An ID token; members that are undefined are left out. */
  token(claims: Record<string, unknown> = {}, { kid, privateKey } = this.key): string {
    const now = Math.floor(Date.now() / 1000)
    const whole = {
      iss: ISSUER,
      aud: PROJECT,
      sub: 'uid-1',
      auth_time: now,
      iat: now,
      exp: now + 3_600,
      email: 'ada@example.com',
      email_verified: true,
      firebase: { sign_in_provider: 'google.com' },
      ...claims,
    }
    // As text, which is signed as it is: claims that are none would be refused here already.
    return jwt.sign(JSON.stringify(whole), privateKey, { algorithm: 'RS256', keyid: kid })
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }
}
