import { PassThrough, type Readable } from 'node:stream'

/**
 * A content on its way from a service. What goes wrong underway is told in the words of the port, and a content that ends before its
 * time ends with an error. Destroying it lets go of the connection.
 */
export function incoming(
  source: Readable,
  expected: { size: number; signal?: AbortSignal },
  words: (error: unknown) => Error,
): Readable {
  const { size, signal } = expected
  const content = new PassThrough()
  let received = 0
  const abort = () => content.destroy(signal?.reason)
  source.on('data', (chunk: Buffer) => {
    received += chunk.length
  })
  source.on('error', (error) => content.destroy(signal?.aborted ? signal.reason : words(error)))
  source.on('end', () => {
    if (received !== size) content.destroy(words(Object.assign(new Error('cut short'), { code: 'UND_ERR_SOCKET' })))
    else content.end()
  })
  source.on('close', () => {
    if (signal?.aborted) abort()
    else if (!source.readableEnded)
      content.destroy(words(Object.assign(new Error('cut short'), { code: 'UND_ERR_SOCKET' })))
  })
  content.on('close', () => {
    signal?.removeEventListener('abort', abort)
    source.destroy()
  })
  signal?.addEventListener('abort', abort)
  source.pipe(content, { end: false })
  return content
}
