import { createHash } from 'node:crypto'
import { finished, Readable } from 'node:stream'
import type { ObjectPart, ObjectScope, ObjectStore, StoredObject } from '../../../platform/objects/object-store.js'
import { RangeNotSatisfiable, SizeMismatch } from '../storage.errors.js'
import type { ByteRange } from '../storage-driver.js'
import { checkedPart, PIECE_BYTES, PieceHashes, piecesOf } from './blob-pieces.js'
import type { SuffixRange } from './embedded-objects.js'
import { sizeOf } from './object-rows.js'

/** The area of the object store that is the buckets' own. */
export const BUCKETS_AREA = 'buckets'

/** A blob as it was written, with the MD5 of its bytes in hex. */
export interface WrittenBlob extends StoredObject {
  md5: string
  /** Of its pieces, where it has several. */
  hashes: Buffer | undefined
}

/** The hashes of some pieces of a blob; undefined of one that has none, since it is older than they are. */
export type HashesOf = (ref: string, first: number, count: number) => Promise<Buffer | undefined>

export interface Writing {
  /** Bytes, where they are known beforehand. */
  size?: number
  /** How many there may be at most, and what is thrown where there are more. */
  room: number
  full(bytes: number): Promise<Error>
  signal?: AbortSignal
}

/** Writes a blob from a stream, counting; what is too long or too short leaves nothing. */
export async function written(
  store: ObjectStore,
  scope: ObjectScope,
  content: Readable,
  { size, room, full, signal }: Writing,
): Promise<WrittenBlob> {
  const source = until(signal, content)
  const md5 = createHash('md5')
  const pieces = new PieceHashes()
  const counted = async function* () {
    let count = 0
    for await (const piece of source as AsyncIterable<Uint8Array | string>) {
      const chunk = typeof piece === 'string' ? Buffer.from(piece) : piece
      count += chunk.length
      if (size !== undefined && count > size) throw new SizeMismatch(size, count)
      if (count > room) throw await full(count)
      md5.update(chunk)
      pieces.update(chunk)
      yield chunk
    }
    if (size !== undefined && count < size) throw new SizeMismatch(size, count)
  }
  try {
    const blob = await store.put(scope, counted())
    return { ...blob, md5: md5.digest('hex'), hashes: pieces.digest() }
  } catch (error) {
    // Also where the store failed before it asked for the first byte.
    content.destroy()
    throw error
  }
}

/** A stream that breaks before anybody reads it must not end the process: whoever reads it is told then. */
export function held(content: Readable): void {
  content.on('error', () => {})
}

/** Undefined where no part of it is asked for. */
export function resolvedRange(range: ByteRange | SuffixRange | undefined, size: number): ObjectPart | undefined {
  if (!range) return undefined
  const first = 'suffix' in range ? Math.max(0, size - range.suffix) : range.first
  const last = Math.min(('suffix' in range ? undefined : range.last) ?? size - 1, size - 1)
  if (first > last) throw new RangeNotSatisfiable(size)
  return { first, last }
}

/** Where the blobs of a tenant are read from. */
export interface BlobReading {
  store: ObjectStore
  scope: ObjectScope
  hashesOf: HashesOf
}

/**
 * The bytes of some blobs one after the other, or a range of them. The first is opened before this resolves. What is read whole is checked
 * against its hash, a part against those of its pieces.
 */
export async function readable(
  reading: BlobReading,
  refs: readonly string[],
  range: ObjectPart | undefined,
  signal?: AbortSignal,
): Promise<Readable> {
  const slices = range ? slicesOf(refs, range) : refs.map((ref) => ({ ref }))
  const [head, ...rest] = slices
  if (!head) return Readable.from([])
  const first = await opened(reading, head)
  if (rest.length === 0) return until(signal, first)
  const all = Readable.from(
    (async function* () {
      try {
        yield* first
        for (const slice of rest) yield* await opened(reading, slice)
      } finally {
        first.destroy()
      }
    })(),
    { objectMode: false },
  )
  // A stream that nobody has begun to read never comes to the end of its generator.
  all.once('close', () => first.destroy())
  return until(signal, all)
}

async function opened({ store, scope, hashesOf }: BlobReading, { ref, part }: Slice): Promise<Readable> {
  if (!part) return await store.get(scope, ref)
  const size = sizeOf(ref)
  if (size <= PIECE_BYTES) {
    const content = await store.read(scope, ref)
    return Readable.from([content.subarray(part.first, part.last + 1)], { objectMode: false })
  }
  const { first, count, whole } = piecesOf(part, size)
  const hashes = await hashesOf(ref, first, count)
  if (!hashes) return await store.get(scope, ref, part)
  const pieces = await store.get(scope, ref, whole)
  held(pieces)
  const stream = Readable.from(checkedPart(pieces, hashes, { part, whole, ref }), { objectMode: false })
  return stream.once('close', () => pieces.destroy())
}

/** Breaks a stream off, with the signal's reason. */
function until<Stream extends Readable>(signal: AbortSignal | undefined, stream: Stream): Stream {
  if (!signal) return stream
  const breakOff = () => stream.destroy(signal.reason)
  if (signal.aborted) return breakOff()
  signal.addEventListener('abort', breakOff, { once: true })
  finished(stream, () => signal.removeEventListener('abort', breakOff))
  return stream
}

interface Slice {
  ref: string
  /** Undefined of the whole. */
  part?: ObjectPart
}

function slicesOf(refs: readonly string[], { first, last }: ObjectPart): Slice[] {
  const slices: Slice[] = []
  let start = 0
  for (const ref of refs) {
    const size = sizeOf(ref)
    const part = { first: Math.max(0, first - start), last: Math.min(size, last - start + 1) - 1 }
    if (part.first <= part.last) slices.push(part.first === 0 && part.last === size - 1 ? { ref } : { ref, part })
    start += size
    if (start > last) break
  }
  return slices
}
