import { createHash, type Hash } from 'node:crypto'
import type { ObjectPart } from '../../../platform/objects/object-store.js'
import { ObjectDamaged } from '../../../platform/objects/objects.errors.js'

/**
 * Blobs that are longer than this have a hash of each piece of so many bytes, by which a range is checked without reading the rest. Ten bytes
 * of any object cost a MiB to read and to hash, some two milliseconds.
 */
export const PIECE_BYTES = 1024 * 1024
export const HASH_BYTES = 32

/** The SHA-256 of each piece of a content as it passes. */
export class PieceHashes {
  private readonly done: Buffer[] = []
  private sum: Hash = createHash('sha256')
  private length = 0

  update(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const taken = chunk.subarray(at, at + PIECE_BYTES - this.length)
      this.sum.update(taken)
      this.length += taken.length
      at += taken.length
      if (this.length === PIECE_BYTES) this.next()
    }
  }

  /** One after the other. Undefined where there is but one piece: the hash of the whole does for it. */
  digest(): Buffer | undefined {
    if (this.length > 0) this.next()
    return this.done.length > 1 ? Buffer.concat(this.done) : undefined
  }

  private next(): void {
    this.done.push(this.sum.digest())
    this.sum = createHash('sha256')
    this.length = 0
  }
}

/** Which pieces a part lies in, and which part of the content those are. */
export function piecesOf(part: ObjectPart, size: number): { first: number; count: number; whole: ObjectPart } {
  const first = Math.floor(part.first / PIECE_BYTES)
  const end = Math.floor(part.last / PIECE_BYTES) + 1
  const whole = { first: first * PIECE_BYTES, last: Math.min(end * PIECE_BYTES, size) - 1 }
  return { first, count: end - first, whole }
}

/** The bytes of a part, of which none is given out before its piece was found to be right. `pieces` are those that `piecesOf` names. */
export async function* checkedPart(
  pieces: AsyncIterable<Buffer>,
  hashes: Buffer,
  { part, whole, ref }: { part: ObjectPart; whole: ObjectPart; ref: string },
): AsyncGenerator<Buffer> {
  let at = whole.first
  let number = 0
  for await (const piece of inPieces(pieces)) {
    const expected = hashes.subarray(number * HASH_BYTES, (number + 1) * HASH_BYTES)
    if (!createHash('sha256').update(piece).digest().equals(expected)) throw new ObjectDamaged(ref)
    yield piece.subarray(Math.max(0, part.first - at), part.last - at + 1)
    at += piece.length
    number++
  }
  if (at !== whole.last + 1) throw new ObjectDamaged(ref)
}

async function* inPieces(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let chunks: Buffer[] = []
  let length = 0
  for await (const chunk of content)
    for (let rest = chunk; rest.length > 0; ) {
      const taken = rest.subarray(0, PIECE_BYTES - length)
      rest = rest.subarray(taken.length)
      chunks.push(taken)
      length += taken.length
      if (length < PIECE_BYTES) continue
      yield Buffer.concat(chunks)
      chunks = []
      length = 0
    }
  if (length > 0) yield Buffer.concat(chunks)
}
