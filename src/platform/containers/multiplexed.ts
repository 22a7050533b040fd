import type { OutputChannel } from './container-order.js'

const HEADER = 8
const CHANNELS: readonly (OutputChannel | undefined)[] = ['stdout', 'stdout', 'stderr']

/**
 * Takes apart what Docker's API sends of a container without a terminal: frames of one byte for the channel, three of nothing, four for the
 * length (big-endian), and the content. Contents are handed on as they come, also in parts, so that no frame is held as a whole. dockerode's
 * own copies all that it holds for each piece that comes and descends once for each frame, which a flood of short lines makes it feel.
 */
export class Demultiplexer {
  private readonly header = Buffer.alloc(HEADER)
  private inHeader = 0
  private left = 0
  private channel: OutputChannel = 'stdout';

  /** Throws where it is no such stream. */
  *take(bytes: Buffer): Generator<{ channel: OutputChannel; bytes: Buffer }> {
    for (let at = 0; at < bytes.length; ) {
      if (this.left > 0) {
        const content = bytes.subarray(at, at + this.left)
        this.left -= content.length
        at += content.length
        yield { channel: this.channel, bytes: content }
        continue
      }
      const copied = bytes.copy(this.header, this.inHeader, at, at + HEADER - this.inHeader)
      this.inHeader += copied
      at += copied
      if (this.inHeader === HEADER) this.begin()
    }
  }

  private begin(): void {
    const channel = CHANNELS[this.header[0] as number]
    if (!channel) throw new Error('the output of the container is not framed as Docker frames it')
    this.channel = channel
    this.left = this.header.readUInt32BE(4)
    this.inHeader = 0
  }
}
