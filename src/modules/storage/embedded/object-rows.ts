import { contentAddress } from '../../../platform/objects/object-key.js'
import type { EmbeddedObjectInfo, KeptHeaders, StoredChecksum } from './embedded-objects.js'

/** A row of `bucket_object`, as a result. */
export interface ObjectRow {
  key: string
  size: string
  etag: string
  refs: string[]
  content_type: string
  headers: KeptHeaders
  metadata: Record<string, string>
  last_modified: Date
  checksum: StoredChecksum | null
  tags: Record<string, string>
}

export const OBJECT_COLUMNS = 'key, size, etag, refs, content_type, headers, metadata, last_modified, checksum, tags'

export function toInfo(row: ObjectRow): EmbeddedObjectInfo {
  return {
    key: row.key,
    size: Number(row.size),
    etag: row.etag,
    lastModified: row.last_modified,
    contentType: row.content_type,
    metadata: row.metadata,
    headers: row.headers,
    tags: row.tags,
    ...(row.checksum && { checksum: row.checksum }),
    partSizes: row.refs.map(sizeOf),
  }
}

/** The bytes of a blob, which its reference says. */
export function sizeOf(ref: string): number {
  const address = contentAddress(ref)
  if (!address) throw new Error('a row of an object holds no reference to a blob')
  return address.size
}
