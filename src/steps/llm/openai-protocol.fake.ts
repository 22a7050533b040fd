import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import type { LlmRequest, Refusal, Reply } from './llm-exchange.fake.js'

const MEMBERS = new Set([
  ...[
    'model',
    'messages',
    'temperature',
    'top_p',
    'n',
    'stream',
    'stop',
    'max_tokens',
    'max_completion_tokens',
    'presence_penalty',
  ],
  ...[
    'frequency_penalty',
    'logit_bias',
    'user',
    'tools',
    'tool_choice',
    'parallel_tool_calls',
    'response_format',
    'seed',
    'reasoning_effort',
  ],
])
const TOOL_NAME = /^[a-zA-Z0-9_-]{1,64}$/

/** Why the chat completions API would refuse this request; undefined where it would not. */
export function openAiFault(headers: LlmRequest['headers'], body: Json, apiKey: string): Refusal | undefined {
  const key = /^Bearer (.+)$/.exec(String(headers.authorization))?.[1]
  if (key !== apiKey) {
    return {
      status: 401,
      type: 'invalid_request_error',
      code: 'invalid_api_key',
      message: `Incorrect API key provided: ${key?.slice(0, 8)}***.`,
    }
  }
  const message =
    headers['content-type'] === 'application/json' ? faultOf(body) : 'the body must be sent as application/json'
  return message === undefined ? undefined : { status: 400, type: 'invalid_request_error', message }
}

function faultOf(body: Json): string | undefined {
  if (!isJsonObject(body)) return 'We could not parse the JSON body of your request.'
  const unknown = Object.keys(body).find((name) => !MEMBERS.has(name))
  if (unknown) return `Unrecognized request argument supplied: ${unknown}`
  if (typeof body.model !== 'string') return 'you must provide a model parameter'
  if (body.stream === true) return 'this server does not stream'
  if (!Array.isArray(body.messages) || body.messages.length === 0) return "Missing required parameter: 'messages'."
  const tools = body.tools ?? []
  if (!Array.isArray(tools) || (body.tools !== undefined && tools.length === 0)) return "Invalid 'tools': empty array."
  for (const tool of tools) {
    const definition =
      isJsonObject(tool) && tool.type === 'function' && isJsonObject(tool.function) ? tool.function : {}
    if (!TOOL_NAME.test(String(definition.name))) return "Invalid 'tools[0].function.name'."
  }
  return conversationFault(body.messages)
}

/** Every call of a tool is answered right after it, and nothing else is. */
function conversationFault(messages: Json[]): string | undefined {
  let open = new Set<string>()
  for (const [index, message] of messages.entries()) {
    if (!isJsonObject(message)) return `Invalid 'messages[${index}]'.`
    if (message.role === 'tool') {
      if (!open.delete(String(message.tool_call_id))) return `messages[${index}] answers no tool call`
      if (typeof message.content !== 'string') return `Invalid 'messages[${index}].content'.`
      continue
    }
    if (open.size > 0)
      return "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
    if (!['system', 'developer', 'user', 'assistant'].includes(String(message.role)))
      return `Invalid 'messages[${index}].role'.`
    const calls = (message.tool_calls ?? []) as JsonObject[]
    if (typeof message.content !== 'string' && !Array.isArray(message.content) && calls.length === 0) {
      return `Invalid value for 'content': expected a string, got null.`
    }
    open = new Set(calls.map(({ id }) => String(id)))
  }
  return undefined
}

export function openAiAnswer(body: JsonObject, { text, thinking, toolCalls = [], finish }: Reply): JsonObject {
  const calls = toolCalls.map((call, index) => ({
    id: `call_${index + 1}`,
    type: 'function',
    function: {
      name: call.name,
      arguments: typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments),
    },
  }))
  const message: JsonObject = {
    role: 'assistant',
    content: text ?? null,
    refusal: null,
    annotations: [],
    ...(thinking === undefined ? {} : { reasoning_content: thinking }),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  }
  return {
    id: 'chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT',
    object: 'chat.completion',
    created: 1_741_569_952,
    model: `${String(body.model)}-2025-04-14`,
    choices: [
      { index: 0, message, logprobs: null, finish_reason: finish ?? (calls.length > 0 ? 'tool_calls' : 'stop') },
    ],
    usage: { prompt_tokens: 50, completion_tokens: 30, total_tokens: 80 },
  }
}
