import type { FileMetadata } from '@google-cloud/storage'
import { ProviderFailed } from '../storage.errors.js'
import type { GcsClient } from './gcs-client.js'

export interface GcsUpload {
  bucket: string
  key: string
  contentType: string
  metadata?: Readonly<Record<string, string>>
  onlyNew?: boolean
  signal?: AbortSignal
}

/** What is in memory of one upload. A multiple of 256 KiB, as chunks have to be. */
const CHUNK_BYTES = 8 * 1024 * 1024
const INCOMPLETE = 308

/**
 * A resumable upload as Google describes it: a session is opened, chunks are put to its address, and the last, which tells the length of
 * the whole, makes the object. Not the SDK's own: to other addresses than Google's that sends without our credentials, and past the guard.
 */
export async function uploadInChunks(
  client: GcsClient,
  { bucket, key, contentType, metadata, onlyNew, signal }: GcsUpload,
  content: AsyncIterable<Buffer>,
): Promise<FileMetadata> {
  const opened = await client.request(
    {
      method: 'POST',
      url: `${client.origin}/upload/storage/v1/b/${bucket}/o`,
      params: { uploadType: 'resumable', name: key, ...(onlyNew && { ifGenerationMatch: 0 }) },
      headers: { 'x-upload-content-type': contentType },
      data: { name: key, contentType, metadata: { ...metadata } },
    },
    signal,
  )
  const session = URL.parse(opened.headers.get('location') ?? '')
  // What is sent there carries a token.
  if (session?.origin !== client.origin) throw new ProviderFailed('The service opened no upload at its own address')
  let sent = 0
  for await (const { chunk, isLast } of chunksOf(content)) {
    let rest = chunk
    for (;;) {
      const last = sent + rest.length - 1
      const range = rest.length === 0 ? `bytes */${sent}` : `bytes ${sent}-${last}/${isLast ? last + 1 : '*'}`
      const response = await client.request(
        {
          method: 'PUT',
          url: session.href,
          headers: { 'content-range': range },
          data: rest,
          validateStatus: (status) => status === INCOMPLETE || (status >= 200 && status < 300),
        },
        signal,
      )
      if (response.status !== INCOMPLETE) {
        if (!isLast) throw new ProviderFailed('The service took an upload for finished before its end')
        return response.data as FileMetadata
      }
      // What it has kept so far may be less than it was sent.
      const kept = Number(/^bytes=0-(\d+)$/.exec(response.headers.get('range') ?? '')?.[1] ?? -1) + 1
      if (kept <= sent || kept > sent + rest.length) throw new ProviderFailed('The service does not take the upload on')
      rest = rest.subarray(kept - sent)
      sent = kept
      if (rest.length === 0 && !isLast) break
    }
  }
  throw new ProviderFailed('The upload came to no end')
}

/** Chunks of the full size; the last may be smaller, or empty. */
async function* chunksOf(content: AsyncIterable<Buffer>): AsyncGenerator<{ chunk: Buffer; isLast: boolean }> {
  let pending: Buffer[] = []
  let length = 0
  for await (const part of content) {
    pending.push(part)
    length += part.length
    // One byte more than a chunk shows that it is not the last.
    while (length > CHUNK_BYTES) {
      const all = Buffer.concat(pending)
      yield { chunk: all.subarray(0, CHUNK_BYTES), isLast: false }
      pending = [all.subarray(CHUNK_BYTES)]
      length -= CHUNK_BYTES
    }
  }
  yield { chunk: Buffer.concat(pending), isLast: true }
}
