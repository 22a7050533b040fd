import { createHash } from 'node:crypto'
import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** The SHA-256 of a content, in hex, and its length. */
export interface Fingerprint {
  sha256: string
  bytes: number
}

/** A content that tells its fingerprint once it was read to its end. */
export function fingerprinted(content: Readable): { stream: Readable; fingerprint(): Fingerprint } {
  const hash = createHash('sha256')
  let bytes = 0
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      bytes += chunk.length
      done(null, chunk)
    },
  })
  follow(content, stream)
  return { stream, fingerprint: () => ({ sha256: hash.digest('hex'), bytes }) }
}

export async function fingerprintOf(content: Readable): Promise<Fingerprint> {
  const hash = createHash('sha256')
  let bytes = 0
  await pipeline(content, async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) {
      hash.update(chunk)
      bytes += chunk.length
    }
  })
  return { sha256: hash.digest('hex'), bytes }
}

/** A content that ends with an error where it is not what it should be. Its last piece is held back until that is known. */
export function verified(content: Readable, sha256: string): Readable {
  const hash = createHash('sha256')
  let last: Buffer | undefined
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      const before = last
      last = chunk
      done(null, before)
    },
    flush(done) {
      if (hash.digest('hex') === sha256) done(null, last)
      else done(new Error('the content is not what was stored'))
    },
  })
  follow(content, stream)
  return stream
}

/** An error of either ends both; whoever reads `to` meets it. */
function follow(from: Readable, to: Transform): void {
  pipeline(from, to).catch(() => {})
}
