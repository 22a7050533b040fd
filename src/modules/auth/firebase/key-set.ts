import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Logger } from '@nestjs/common'
import type { Clock } from '../../../platform/clock/clock.js'
import { Unavailable } from '../../../platform/http/refusals.js'

/** How long keys are believed without another look, unless their server says for how long. */
const FRESH_MS = 3_600_000
const LEAST_FRESH_MS = 60_000
const MOST_FRESH_MS = 86_400_000
/** How much longer they are believed while no new ones can be had. */
const STALE_MS = 86_400_000
/** The least time between two looks: tokens with invented ids of keys cause no more of them than this. */
const BETWEEN_LOOKS_MS = 10_000
const TIMEOUT_MS = 5_000
const MAX_BYTES = 1_048_576
/** Of an RSA key that is still taken. */
const LEAST_BITS = 2_048

interface Read {
  text: string
  freshMs: number
}

/**
 * The public keys of an identity provider by their ids (`kid`), from a JWK set at an address or in a file. They are kept; a key that is
 * not known yet is looked for at once, so a rotation shows with the first token that it signed. While the provider cannot be
 * reached, the keys that are known go on counting.
 */
export class KeySet {
  private readonly logger = new Logger(KeySet.name)
  private keys: ReadonlyMap<string, KeyObject> = new Map()
  private freshUntil = 0
  private lookedAt = Number.NEGATIVE_INFINITY
  private failed = false
  private looking?: Promise<void>

  constructor(
    /** A URL or a file. */
    private readonly source: string,
    private readonly clock: Pick<Clock, 'now'>,
  ) {}

  /** Undefined where the provider has no key of this name. Throws `Unavailable` where that cannot be known. */
  async find(kid: string): Promise<KeyObject | undefined> {
    const now = this.clock.now().getTime()
    const isKnown = this.keys.has(kid) && now < this.freshUntil + STALE_MS
    if (!isKnown || now >= this.freshUntil) {
      const looked = this.look(now)
      if (!isKnown) await looked
    }
    const key = this.clock.now().getTime() < this.freshUntil + STALE_MS ? this.keys.get(kid) : undefined
    if (!key && this.failed) throw new Unavailable()
    return key
  }

  /** One look at a time, and one now and then. */
  private async look(now: number): Promise<void> {
    if (this.looking === undefined && now - this.lookedAt >= BETWEEN_LOOKS_MS) {
      this.lookedAt = now
      this.looking = this.read(now).finally(() => {
        this.looking = undefined
      })
    }
    await this.looking
  }

  private async read(now: number): Promise<void> {
    try {
      const { text, freshMs } = await (/^https?:\/\//.test(this.source) ? fetched(this.source) : filed(this.source))
      this.keys = keysIn(text)
      this.freshUntil = now + freshMs
      this.failed = false
    } catch (error) {
      this.failed = true
      this.logger.warn({ err: error, source: this.source }, 'the keys of an identity provider could not be read')
    }
  }
}

/** The operator names the address, so this needs no guard against where users might lead. */
async function fetched(url: string): Promise<Read> {
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) })
  if (!response.ok || !response.body) throw new Error(`it answered ${response.status}`)
  let text = ''
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    if (text.length > MAX_BYTES) throw new Error(`it answered more than ${MAX_BYTES} bytes`)
  }
  const maxAge = /(?:^|[\s,])max-age=(\d{1,9})/i.exec(response.headers.get('cache-control') ?? '')?.[1]
  const freshMs = maxAge === undefined ? FRESH_MS : Number(maxAge) * 1000
  return { text, freshMs: Math.min(Math.max(freshMs, LEAST_FRESH_MS), MOST_FRESH_MS) }
}

async function filed(path: string): Promise<Read> {
  return { text: await readFile(path, 'utf8'), freshMs: LEAST_FRESH_MS }
}

/** Keys of other kinds and for other uses are passed over: a shared secret in the set must never verify anything. */
function keysIn(text: string): Map<string, KeyObject> {
  const { keys } = JSON.parse(text) as { keys?: unknown }
  if (!Array.isArray(keys)) throw new Error('it is no JWK set')
  const usable = keys.flatMap((jwk: JsonWebKey & { kid?: unknown; use?: string; alg?: string }) => {
    const { kid, kty, use = 'sig', alg = 'RS256' } = jwk ?? {}
    if (typeof kid !== 'string' || kty !== 'RSA' || use !== 'sig' || alg !== 'RS256') return []
    const key = createPublicKey({ key: { kty, n: jwk.n, e: jwk.e }, format: 'jwk' })
    return (key.asymmetricKeyDetails?.modulusLength ?? 0) < LEAST_BITS ? [] : [[kid, key] as const]
  })
  if (usable.length === 0) throw new Error('it holds no RSA key that signs')
  return new Map(usable)
}
