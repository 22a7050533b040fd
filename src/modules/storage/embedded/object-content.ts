import { createHash } from 'node:crypto'
import { finished, Readable } from 'node:stream'
import type { ObjectPart, ObjectScope, ObjectStore, StoredObject } from '../../../platform/objects/object-store.js'
import { RangeNotSatisfiable, SizeMismatch } from '../storage.errors.js'
import type { ByteRange } from '../storage-driver.js'
import type { SuffixRange } from './embedded-objects.js'
import { sizeOf } from './object-rows.js'

/** The area of the object store that is the buckets' own. */
export const BUCKETS_AREA = 'buckets'

/** A blob as it was written, with the MD5 of its bytes in hex. */
export interface WrittenBlob extends StoredObject {
  md5: string
}

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
  const counted = async function* () {
    let count = 0
    for await (const piece of source as AsyncIterable<Uint8Array | string>) {
      const chunk = typeof piece === 'string' ? Buffer.from(piece) : piece
      count += chunk.length
      if (size !== undefined && count > size) throw new SizeMismatch(size, count)
      if (count > room) throw await full(count)
      md5.update(chunk)
      yield chunk
    }
    if (size !== undefined && count < size) throw new SizeMismatch(size, count)
  }
  try {
    const blob = await store.put(scope, counted())
    return { ...blob, md5: md5.digest('hex') }
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

/**
 * The bytes of some blobs one after the other, or a range of them. The first is opened before this resolves. What is read whole is checked
 * against its hash; of a blob that the range cuts, only the length is.
 */
export async function readable(
  store: ObjectStore,
  scope: ObjectScope,
  refs: readonly string[],
  range: ObjectPart | undefined,
  signal?: AbortSignal,
): Promise<Readable> {
  const slices = range ? slicesOf(refs, range) : refs.map((ref) => ({ ref, part: undefined }))
  const [head, ...rest] = slices
  if (!head) return Readable.from([])
  const first = await store.get(scope, head.ref, head.part)
  if (rest.length === 0) return until(signal, first)
  const all = Readable.from(
    (async function* () {
      try {
        yield* first
        for (const { ref, part } of rest) yield* await store.get(scope, ref, part)
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

/** Breaks a stream off, with the signal's reason. */
function until<Stream extends Readable>(signal: AbortSignal | undefined, stream: Stream): Stream {
  if (!signal) return stream
  const breakOff = () => stream.destroy(signal.reason)
  if (signal.aborted) return breakOff()
  signal.addEventListener('abort', breakOff, { once: true })
  finished(stream, () => signal.removeEventListener('abort', breakOff))
  return stream
}

function slicesOf(refs: readonly string[], { first, last }: ObjectPart): { ref: string; part?: ObjectPart }[] {
  const slices: { ref: string; part?: ObjectPart }[] = []
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
