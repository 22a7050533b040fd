import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import { LocalServer } from '../../platform/outbound/local-server.fake.js'
import { anthropicAnswer, anthropicFault } from './anthropic-protocol.fake.js'
import type { LlmRequest, Refusal, Reply } from './llm-exchange.fake.js'
import { openAiAnswer, openAiFault } from './openai-protocol.fake.js'

/**
 * A server that speaks OpenAI's chat completions (`/v1/chat/completions`) and Anthropic's messages (`/v1/messages`). It gives scripted
 * answers, but only to requests that the providers' references allow: others are refused as the providers do.
 */
export class FakeLlmServer {
  readonly requests: LlmRequest[] = []
  private readonly replies: Reply[] = []

  private constructor(
    private readonly server: LocalServer,
    readonly apiKey: string,
  ) {}

  static async start(apiKey = 'sk-test-0123456789abcdef'): Promise<FakeLlmServer> {
    const local: { llm?: FakeLlmServer } = {}
    const server = await LocalServer.start((request, response) => {
      const answer = local.llm?.answer(request.method ?? '', request.url ?? '', request.headers)
      if (!answer) return
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body))
    })
    local.llm = new FakeLlmServer(server, apiKey)
    return local.llm
  }

  /** What the SDKs call the base URL of each provider. */
  get openAiUrl(): string {
    return `${this.server.origin}/v1`
  }

  get anthropicUrl(): string {
    return this.server.origin
  }

  reply(...replies: Reply[]): void {
    this.replies.push(...replies)
  }

  /** The last request's body. */
  get asked(): JsonObject {
    return this.requests.at(-1)?.body ?? {}
  }

  stop(): Promise<void> {
    return this.server.stop()
  }

  private answer(
    method: string,
    path: string,
    headers: LlmRequest['headers'],
  ): { status: number; body: Json } | undefined {
    const body = parsed(this.server.requests.at(-1)?.body ?? '')
    const anthropic = path === '/v1/messages'
    if (method !== 'POST' || (!anthropic && path !== '/v1/chat/completions'))
      return { status: 404, body: { error: { message: 'Not Found' } } }
    this.requests.push({ path, headers, body: isJsonObject(body) ? body : {} })
    const refuse = (refusal: Refusal) => ({
      status: refusal.status,
      body: anthropic ? anthropicError(refusal) : openAiError(refusal),
    })
    const fault = anthropic ? anthropicFault(headers, body, this.apiKey) : openAiFault(headers, body, this.apiKey)
    if (fault) return refuse(fault)
    const reply = this.replies.shift() ?? { status: 500, error: 'the test has scripted no further reply' }
    if (reply.silent) return undefined
    if (reply.status !== undefined) {
      return refuse({
        status: reply.status,
        type: errorType(reply.status),
        message: reply.error ?? 'refused',
        code: reply.errorCode,
        param: reply.errorParam,
      })
    }
    if (reply.raw !== undefined) return { status: 200, body: reply.raw }
    return {
      status: 200,
      body: anthropic ? anthropicAnswer(body as JsonObject, reply) : openAiAnswer(body as JsonObject, reply),
    }
  }
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    return null
  }
}

function errorType(status: number): string {
  if (status === 429) return 'rate_limit_error'
  return status === 529 ? 'overloaded_error' : status >= 500 ? 'api_error' : 'invalid_request_error'
}

function openAiError({ type, message, code, param }: Refusal): JsonObject {
  return { error: { message, type, param: param ?? null, code: code ?? null } }
}

function anthropicError({ type, message }: Refusal): JsonObject {
  return { type: 'error', error: { type, message }, request_id: 'req_011CSHoEeqs5C35K2UUqR7Fy' }
}
