import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import type { LlmRequest, Refusal, Reply } from './llm-exchange.fake.js'

const MEMBERS = new Set([
  ...['model', 'messages', 'max_tokens', 'system', 'stop_sequences', 'stream', 'tools', 'tool_choice'],
  ...['metadata', 'thinking', 'output_config', 'service_tier'],
])
/** Versions of the API, and what each takes beside the members of all. */
const VERSIONS = new Map([
  ['2023-06-01', new Set(['temperature', 'top_p', 'top_k'])],
  ['2026-10-21', new Set<string>()],
])

/** Why the messages API would refuse this request; undefined where it would not. */
export function anthropicFault(headers: LlmRequest['headers'], body: Json, apiKey: string): Refusal | undefined {
  const invalid = (message: string): Refusal => ({ status: 400, type: 'invalid_request_error', message })
  const key = headers['x-api-key'] ?? /^Bearer (.+)$/.exec(String(headers.authorization))?.[1]
  if (key !== apiKey) return { status: 401, type: 'authentication_error', message: `invalid x-api-key ${String(key)}` }
  const more = VERSIONS.get(String(headers['anthropic-version']))
  if (!more) return invalid('anthropic-version: header is required')
  if (headers['content-type'] !== 'application/json') return invalid('the body must be sent as application/json')
  const message = faultOf(body, more)
  return message === undefined ? undefined : invalid(message)
}

function faultOf(body: Json, more: ReadonlySet<string>): string | undefined {
  if (!isJsonObject(body)) return 'the body is not valid JSON'
  const unknown = Object.keys(body).find((name) => !MEMBERS.has(name) && !more.has(name))
  if (unknown) return `${unknown}: Extra inputs are not permitted`
  if (typeof body.model !== 'string') return 'model: Field required'
  if (!Number.isInteger(body.max_tokens) || Number(body.max_tokens) < 1) return 'max_tokens: Field required'
  if (body.stream === true) return 'this server does not stream'
  if (Number(body.temperature ?? 1) > 1) return 'temperature: range: 0..1'
  if (body.system !== undefined && typeof body.system !== 'string') return 'system: Input should be a valid string'
  for (const tool of (body.tools ?? []) as JsonObject[]) {
    if (typeof tool.name !== 'string' || !isJsonObject(tool.input_schema) || tool.input_schema.type !== 'object') {
      return 'tools.0.input_schema.type: Field required'
    }
    if (Object.keys(tool).some((name) => !['name', 'description', 'input_schema'].includes(name)))
      return 'tools.0: Extra inputs are not permitted'
  }
  return conversationFault(body.messages ?? null)
}

function conversationFault(messages: Json): string | undefined {
  if (!Array.isArray(messages) || messages.length === 0) return 'messages: at least one message is required'
  let open: string[] = []
  for (const [index, message] of messages.entries()) {
    if (!isJsonObject(message) || (message.role !== 'user' && message.role !== 'assistant')) {
      return `messages.${index}.role: Input should be 'user' or 'assistant'`
    }
    if (typeof message.content === 'string' ? message.content === '' : !Array.isArray(message.content)) {
      return `messages.${index}: all messages must have non-empty content`
    }
    const blocks = (Array.isArray(message.content) ? message.content : []) as JsonObject[]
    if (blocks.some((block) => block.type === 'text' && block.text === ''))
      return 'text content blocks must be non-empty'
    const answered = blocks.filter(({ type }) => type === 'tool_result').map((block) => String(block.tool_use_id))
    if ([...answered].sort().join() !== [...open].sort().join())
      return `messages.${index}: tool_use ids and tool_result blocks do not match`
    open = blocks.filter(({ type }) => type === 'tool_use').map(({ id }) => String(id))
  }
  return undefined
}

export function anthropicAnswer(body: JsonObject, { text, thinking, toolCalls = [], finish }: Reply): JsonObject {
  const uses = toolCalls.map((call, index) => ({
    type: 'tool_use',
    id: `toolu_0${index + 1}`,
    name: call.name,
    input: call.arguments,
  }))
  return {
    id: 'msg_013Zva2CMHLNnXjNJJKqJ2EF',
    type: 'message',
    role: 'assistant',
    model: `${String(body.model)}-20250929`,
    content: [
      ...(thinking === undefined ? [] : [{ type: 'thinking', thinking, signature: 'EqQBCgIYAhIM' }]),
      ...(text === undefined ? [] : [{ type: 'text', text }]),
      ...uses,
    ],
    stop_reason: finish === 'length' ? 'max_tokens' : uses.length > 0 ? 'tool_use' : 'end_turn',
    stop_sequence: null,
    usage: { input_tokens: 50, output_tokens: 30 },
  }
}
