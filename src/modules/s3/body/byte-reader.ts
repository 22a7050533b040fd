import { S3Error } from '../s3.errors.js'

/** Takes a stream of bytes by lines and by counts, without holding more of it than arrived at once. */
export class ByteReader {
  private readonly source: AsyncIterator<Uint8Array>
  private rest: Uint8Array = new Uint8Array()

  constructor(source: AsyncIterable<Uint8Array>) {
    this.source = source[Symbol.asyncIterator]()
  }

  /** Up to the next line feed, without it and without a carriage return in front of it. Throws where the stream ends before, or the line is longer than `limit`. */
  async line(limit: number): Promise<string> {
    const parts: Uint8Array[] = []
    let length = 0
    for (;;) {
      const end = this.rest.indexOf(0x0a)
      const part = this.rest.subarray(0, end === -1 ? this.rest.length : end)
      parts.push(part)
      length += part.length
      if (length > limit) throw new S3Error('InvalidRequest', 'A line of the body between its chunks is too long')
      if (end !== -1) {
        this.rest = this.rest.subarray(end + 1)
        return Buffer.concat(parts).toString('latin1').replace(/\r$/, '')
      }
      this.rest = this.rest.subarray(this.rest.length)
      await this.more()
    }
  }

  /** The next `count` bytes, in pieces as they arrive. Throws where the stream ends before. */
  async *take(count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0; ) {
      if (this.rest.length === 0) await this.more()
      const piece = this.rest.subarray(0, left)
      this.rest = this.rest.subarray(piece.length)
      left -= piece.length
      if (piece.length > 0) yield piece
    }
  }

  /** Whether nothing comes any more. */
  async ended(): Promise<boolean> {
    while (this.rest.length === 0) {
      const { done, value } = await this.source.next()
      if (done) return true
      this.rest = value
    }
    return false
  }

  async close(): Promise<void> {
    await this.source.return?.()
  }

  private async more(): Promise<void> {
    if (await this.ended()) throw new S3Error('IncompleteBody')
  }
}
