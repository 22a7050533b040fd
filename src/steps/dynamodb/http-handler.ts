import type { Outbound } from '../ports.js'

interface AwsRequest {
  method: string
  protocol: string
  hostname: string
  port?: number
  path: string
  query?: Record<string, string | string[] | null>
  headers: Record<string, string>
  body?: unknown
}

interface AwsResponse {
  statusCode: number
  reason?: string
  headers: Record<string, string>
  body: unknown
}

const MAX_RESPONSE_BYTES = 32 * 1024 * 1024
/** `fetch` writes these itself, to the same values that were signed. */
const OWN_HEADERS = new Set(['host', 'content-length', 'expect'])

/** Sends the AWS client's requests through the guarded `fetch`. A redirect is refused: a signed request is for one host. */
export class AwsHttpHandler {
  readonly metadata = { handlerProtocol: 'http/1.1' }

  constructor(
    private readonly outbound: Outbound,
    private readonly timeoutMs: number,
  ) {}

  async handle(request: AwsRequest, options: { abortSignal?: unknown } = {}): Promise<{ response: AwsResponse }> {
    const url = new URL(
      `${request.protocol}//${request.hostname}${request.port ? `:${request.port}` : ''}${request.path}`,
    )
    for (const [name, value] of Object.entries(request.query ?? {})) {
      for (const one of [value].flat()) url.searchParams.append(name, one ?? '')
    }
    const response = await this.outbound.fetch(url, {
      method: request.method,
      headers: Object.entries(request.headers).filter(([name]) => !OWN_HEADERS.has(name.toLowerCase())),
      body: request.body as string | Uint8Array<ArrayBuffer> | undefined,
      redirect: 'error',
      signal: options.abortSignal as AbortSignal | undefined,
      timeoutMs: this.timeoutMs,
      maxResponseBytes: MAX_RESPONSE_BYTES,
    })
    const body = new Uint8Array(await response.arrayBuffer())
    return {
      response: {
        statusCode: response.status,
        reason: response.statusText,
        headers: Object.fromEntries(response.headers),
        body,
      },
    }
  }

  /** The client tells its handlers of settings, of which this one has none. */
  updateHttpClientConfig(): void {}

  httpHandlerConfigs(): Record<string, never> {
    return {}
  }

  destroy(): void {}
}
