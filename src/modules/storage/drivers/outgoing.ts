import { type Readable, Transform, type TransformCallback } from 'node:stream'
import { SizeMismatch } from '../storage.errors.js'

/**
 * A content on its way to a service. It ends with an error when its source does, when it is longer or shorter than it was said to be,
 * and when its upload is called off; `fault` is then the reason, whatever a library makes of it.
 */
export class Outgoing extends Transform {
  fault?: unknown
  /** Seen so far. Not `size`: a library would take it for the length of the whole. */
  bytes = 0

  constructor(
    private readonly source: Readable,
    private readonly said?: number,
    private readonly signal?: AbortSignal,
  ) {
    super()
    // It may end before anyone reads it; `fault` tells.
    this.on('error', () => {})
    signal?.addEventListener('abort', this.callOff)
    source.on('error', this.fail)
    source.on('close', () => {
      if (!source.readableEnded && !this.destroyed) this.fail(source.errored ?? new Error('the content broke off'))
    })
    if (signal?.aborted) this.callOff()
    else if (source.errored) this.fail(source.errored)
    else source.pipe(this)
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.bytes += chunk.length
    if (this.said !== undefined && this.bytes > this.said) this.fail(new SizeMismatch(this.said, this.bytes))
    else done(null, chunk)
  }

  override _flush(done: TransformCallback): void {
    if (this.said !== undefined && this.bytes < this.said) this.fail(new SizeMismatch(this.said, this.bytes))
    else done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.signal?.removeEventListener('abort', this.callOff)
    if (!this.source.readableEnded) this.source.destroy()
    done(error)
  }

  private readonly callOff = (): void => this.fail(this.signal?.reason)

  private readonly fail = (fault: unknown): void => {
    this.fault ??= fault
    this.destroy(fault instanceof Error ? fault : new Error('the upload was called off'))
  }
}
