import type { EmbeddedObjectInfo, StoredChecksum } from '../storage/embedded/embedded-objects.js'
import { CHECKSUMS, checksum } from './body/checksums.js'
import { said } from './object-headers.js'
import { S3Error } from './s3.errors.js'
import type { S3Request } from './s3-request.js'

const HEADER = 'x-amz-checksum-'

/** Of what a request has said of its content. */
export function storedChecksum(told: Readonly<Record<string, string>>): StoredChecksum | undefined {
  const [algorithm] = CHECKSUMS.filter((name) => told[HEADER + name] !== undefined)
  const value = algorithm === undefined ? undefined : told[HEADER + algorithm]
  return algorithm === undefined || value === undefined ? undefined : { algorithm, type: 'FULL_OBJECT', value }
}

/**
 * What the parts of an upload will bring checksums of. Of an upload that wants one of the whole object, which its parts do not tell, each part
 * is checked and nothing is kept.
 */
export function partsChecksum(request: S3Request): { checksumAlgorithm?: string } {
  const algorithm = said(request, 'x-amz-checksum-algorithm')?.toLowerCase()
  if (algorithm === undefined) return {}
  if (!CHECKSUMS.includes(algorithm)) throw new S3Error('InvalidRequest', 'Checksum algorithm provided is unsupported.')
  const type = said(request, 'x-amz-checksum-type') ?? (algorithm === 'crc64nvme' ? 'FULL_OBJECT' : 'COMPOSITE')
  return type === 'COMPOSITE' && algorithm !== 'crc64nvme' ? { checksumAlgorithm: algorithm } : {}
}

/** As S3 has it: the checksum of the parts' checksums, and how many they are. */
export async function compositeChecksum(algorithm: string, parts: readonly string[]): Promise<string> {
  const sum = checksum(algorithm)
  if (!sum) throw new Error(`no checksum is called ${algorithm}`)
  for (const part of parts) sum.update(Buffer.from(part, 'base64'))
  return `${(await sum.digest()).toString('base64')}-${parts.length}`
}

/** Headers of an answer with the whole object, if the request wants them. */
export function checksumHeaders(request: S3Request, { checksum: stored }: EmbeddedObjectInfo): Record<string, string> {
  if (!stored || request.headers.get('x-amz-checksum-mode')?.toUpperCase() !== 'ENABLED') return {}
  return { [HEADER + stored.algorithm]: stored.value, [`${HEADER}type`]: stored.type }
}

/** `ChecksumCRC32` and the like. */
export function checksumElements({ checksum: stored }: EmbeddedObjectInfo): Record<string, string> | undefined {
  return stored && { [`Checksum${stored.algorithm.toUpperCase()}`]: stored.value, ChecksumType: stored.type }
}
