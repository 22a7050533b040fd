import { OutboundTooLarge } from './errors.js'
import { failureOf } from './failure.js'
import { hostOf } from './host.js'
import type { WireRequest } from './request.js'

export interface ResponseLimits {
  request: WireRequest
  redirected: boolean
  maxBytes: number
  signal: AbortSignal
  abort(reason: Error): void
  /** Called once nothing more will come. */
  ended(): void
}

/** The same response with a body that ends with an error where it exceeds its limit. Bytes are counted after decompression. */
export function limited(response: Response, limits: ResponseLimits): Response {
  const { request, redirected, maxBytes } = limits
  const host = hostOf(request.url)
  if (response.body !== null && Number(response.headers.get('content-length')) > maxBytes) {
    const error = new OutboundTooLarge(host, maxBytes)
    limits.abort(error)
    throw error
  }
  if (response.body === null) limits.ended()
  const body = response.body && counted(response.body, host, limits)
  const { status, statusText, headers } = response
  const copy = new Response(body, { headers: [...headers] })
  // Not by the constructor, which refuses a body for some statuses and knows only 200 to 599; servers are less strict.
  return Object.defineProperties(copy, {
    status: { value: status },
    statusText: { value: statusText },
    ok: { value: status >= 200 && status < 300 },
    url: { value: request.url.href },
    redirected: { value: redirected },
  })
}

function counted(source: ReadableStream<Uint8Array>, host: string, limits: ResponseLimits): ReadableStream<Uint8Array> {
  const reader = source.getReader()
  let seen = 0
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
          if (done) {
            limits.ended()
            controller.close()
            return
          }
          seen += value.byteLength
          if (seen > limits.maxBytes) throw new OutboundTooLarge(host, limits.maxBytes)
          controller.enqueue(value)
        } catch (error) {
          limits.ended()
          const failure = limits.signal.aborted ? limits.signal.reason : failureOf(error, host)
          limits.abort(failure)
          controller.error(failure)
        }
      },
      cancel(reason) {
        limits.ended()
        return reader.cancel(reason)
      },
    },
    { highWaterMark: 0 },
  )
}
