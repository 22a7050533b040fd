import { InvalidRequest } from '../../../platform/http/faults.js'
import { ObjectKeyInvalid } from '../storage.errors.js'

const MOST_BYTES = 1_024
/** No key is greater: of U+10FFFF, the last character, a key holds at most 256. */
export const BEHIND_ALL = '\u{10ffff}'.repeat(257)
/** Right behind a key: no character but U+0000, which keys do not have, comes before it. */
const NEXT = '\u0001'

/** Keys are kept literally: nothing in them means anything. */
export function checkKey(key: string): void {
  if (key === '') throw new ObjectKeyInvalid('An object key must not be empty')
  if (!key.isWellFormed() || key.includes('\0'))
    throw new ObjectKeyInvalid('An object key is text in UTF-8 without U+0000')
  if (Buffer.byteLength(key) > MOST_BYTES)
    throw new ObjectKeyInvalid(`An object key has at most ${MOST_BYTES} bytes in UTF-8`)
}

/** The least text that is greater than a key, in the order of UTF-8 bytes. */
export function after(key: string): string {
  return key + NEXT
}

/** The least text that is greater than all that begin with a prefix. */
export function afterAll(prefix: string): string {
  const characters = [...prefix]
  while (characters.length > 0) {
    const last = (characters.pop() as string).codePointAt(0) as number
    if (last === 0x10ffff) continue
    // Surrogates are no characters.
    return characters.join('') + String.fromCodePoint(last === 0xd7ff ? 0xe000 : last + 1)
  }
  return BEHIND_ALL
}

/** A position in a list, as callers get it. */
export function continuationOf(from: string): string {
  return Buffer.from(from).toString('base64url')
}

export function fromContinuation(continuation: string): string {
  const bytes = Buffer.from(continuation, 'base64url')
  const from = bytes.toString()
  const isOurs =
    from !== '' && bytes.length <= 2 * MOST_BYTES && !from.includes('\0') && continuationOf(from) === continuation
  if (!isOurs || !Buffer.from(from).equals(bytes))
    throw new InvalidRequest('The continuation is none that was given out')
  return from
}
