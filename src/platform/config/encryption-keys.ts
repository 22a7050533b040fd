import { createHash } from 'node:crypto'
import { z } from 'zod'

/** A key of AES-256-GCM. What it encrypts carries its id. */
export interface EncryptionKey {
  readonly id: string
  /** 32 bytes. */
  readonly key: Buffer
}

/**
 * `key`, or `id:key,id2:key2` while keys rotate: the first encrypts, all decrypt. A key without an id has its fingerprint for one.
 * Every key is found under its fingerprint too, so that naming a key later loses nothing.
 */
export const encryptionKeys = z.string().transform((text, context): EncryptionKey[] => {
  const named: EncryptionKey[] = []
  for (const entry of text.split(',').map((part) => part.trim())) {
    const colon = entry.indexOf(':')
    const key = decode(entry.slice(colon + 1))
    const id = colon >= 0 ? entry.slice(0, colon) : key && fingerprint(key)
    if (key && id && /^[A-Za-z0-9_-]{1,32}$/.test(id)) named.push({ id, key })
    else {
      const message = 'must be 32 bytes as 64 hex digits or base64, or a list id:key,id2:key2 of such'
      context.addIssue({ code: 'custom', message })
      return z.NEVER
    }
  }
  if (new Set(named.map(({ id }) => id)).size < named.length) {
    context.addIssue({ code: 'custom', message: 'must not give two keys the same id' })
  }
  const byFingerprint = named.map(({ key }) => ({ id: fingerprint(key), key }))
  return [...named, ...byFingerprint.filter(({ id }) => !named.some((known) => known.id === id))]
})

function decode(text: string): Buffer | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex')
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return undefined
  const key = Buffer.from(text, 'base64')
  return key.length === 32 ? key : undefined
}

function fingerprint(key: Buffer): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 12)
}
