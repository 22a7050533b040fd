import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { Crc32c, Crc64Nvme } from '@aws-sdk/checksums/crc'

/** Adds up bytes as they pass. */
export interface Checksum {
  update(bytes: Uint8Array): void
  digest(): Promise<Buffer>
}

/** By the names that S3 has for them, as in `x-amz-checksum-crc32`. */
const MAKERS: Readonly<Record<string, () => Checksum>> = {
  crc32: () => new Crc32(),
  crc32c: () => adapted(new Crc32c()),
  crc64nvme: () => adapted(new Crc64Nvme()),
  sha1: () => hashed('sha1'),
  sha256: () => hashed('sha256'),
}

export const CHECKSUMS: readonly string[] = Object.keys(MAKERS)

/** Undefined where there is none of this name. */
export function checksum(name: string): Checksum | undefined {
  return Object.hasOwn(MAKERS, name) ? MAKERS[name]?.() : undefined
}

export function hashed(algorithm: 'md5' | 'sha1' | 'sha256'): Checksum {
  const sum = createHash(algorithm)
  return { update: (bytes) => void sum.update(bytes), digest: async () => sum.digest() }
}

class Crc32 implements Checksum {
  private value = 0

  update(bytes: Uint8Array): void {
    this.value = crc32(bytes, this.value)
  }

  async digest(): Promise<Buffer> {
    const result = Buffer.alloc(4)
    result.writeUInt32BE(this.value)
    return result
  }
}

function adapted(sum: { update(bytes: Uint8Array): void; digest(): Promise<Uint8Array> }): Checksum {
  return { update: (bytes) => sum.update(bytes), digest: async () => Buffer.from(await sum.digest()) }
}
