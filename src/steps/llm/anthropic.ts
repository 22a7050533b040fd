import Anthropic from '@anthropic-ai/sdk'
import { StepError } from '../../engine/step.js'
import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import type { Outbound } from '../ports.js'
import type { ChatAnswer, ChatRequest, Message, ToolCall } from './chat-messages.js'
import { providerFetch } from './provider-fetch.js'

/** The messages API wants a limit. */
const DEFAULT_MAX_TOKENS = 4_096

/** The last version of the API whose requests may choose how words are sampled. The current one refuses these members. */
const SAMPLING_VERSION = '2023-06-01'
const SAMPLING = ['temperature', 'top_p', 'top_k']

/** Asks Anthropic's messages API, in and out translated from the form of OpenAI's chat completions. */
export async function askAnthropic(outbound: Outbound, request: ChatRequest, signal: AbortSignal): Promise<ChatAnswer> {
  const body = bodyOf(request)
  const client = new Anthropic({
    apiKey: request.apiKey,
    defaultHeaders: {
      // The library sends the key as a bearer token only; gateways made for earlier versions look here.
      'x-api-key': request.apiKey,
      ...(SAMPLING.some((name) => name in body) ? { 'anthropic-version': SAMPLING_VERSION } : {}),
    },
    // Named, because the library would take them from the environment.
    authToken: null,
    baseURL: request.baseUrl ?? 'https://api.anthropic.com',
    webhookKey: null,
    logLevel: 'off',
    maxRetries: 0,
    timeout: request.timeoutMs,
    fetch: providerFetch(outbound, request.timeoutMs),
  })
  // Not `messages.create`, which writes its advice on models to the console.
  return read(await client.post<Json>('/v1/messages', { body, signal }))
}

function bodyOf(request: ChatRequest): JsonObject {
  const { type, json_schema: schema } = request.responseFormat ?? {}
  const system = request.messages.filter(isSystem).map(({ content }) => textOf(content))
  if (type === 'json_object') system.push('Answer with one JSON object and nothing else.')
  return {
    ...request.options,
    model: request.model,
    max_tokens: request.maxTokens ?? DEFAULT_MAX_TOKENS,
    messages: turns(request.messages.filter((message) => !isSystem(message))),
    ...(system.length === 0 ? {} : { system: system.join('\n\n') }),
    ...(typeof request.temperature === 'number' ? { temperature: request.temperature } : {}),
    ...(request.stop === undefined ? {} : { stop_sequences: request.stop }),
    ...(request.tools.length === 0 ? {} : { tools: request.tools.map(tool) }),
    ...(type === 'json_schema' && isJsonObject(schema)
      ? { output_config: { format: { type: 'json_schema', schema: schema.schema ?? {} } } }
      : {}),
    stream: false,
  }
}

function isSystem({ role }: Message): boolean {
  return role === 'system' || role === 'developer'
}

function tool({ function: definition }: JsonObject): JsonObject {
  const { name, description, parameters } = definition as JsonObject
  const schema = isJsonObject(parameters) ? parameters : {}
  return {
    name: name ?? '',
    ...(description === undefined ? {} : { description }),
    input_schema: { type: 'object', ...schema },
  }
}

/** Results of tools become blocks of a user's turn; those of one round belong into one turn. */
function turns(messages: readonly Message[]): JsonObject[] {
  const result: JsonObject[] = []
  for (const message of messages) {
    if (message.role !== 'tool') {
      result.push(
        message.role === 'assistant' ? assistantTurn(message) : { role: 'user', content: blocks(message.content) },
      )
      continue
    }
    const block = { type: 'tool_result', tool_use_id: message.tool_call_id ?? '', content: textOf(message.content) }
    const last = result.at(-1)
    if (last?.role === 'user' && Array.isArray(last.content) && isToolResult(last.content[0])) last.content.push(block)
    else result.push({ role: 'user', content: [block] })
  }
  return result
}

function isToolResult(block: Json | undefined): boolean {
  return isJsonObject(block) && block.type === 'tool_result'
}

function assistantTurn(message: Message): JsonObject {
  // Thoughts are signed, and must come back as they were.
  if (message.anthropic_content !== undefined) return { role: 'assistant', content: message.anthropic_content }
  const calls = (Array.isArray(message.tool_calls) ? message.tool_calls : []) as ToolCall[]
  if (calls.length === 0) return { role: 'assistant', content: blocks(message.content) }
  const said = textOf(message.content)
  return {
    role: 'assistant',
    content: [
      ...(said === '' ? [] : [{ type: 'text', text: said }]),
      ...calls.map((call) => ({ type: 'tool_use', id: call.id, name: call.function.name, input: argumentsOf(call) })),
    ],
  }
}

function argumentsOf(call: ToolCall): Json {
  try {
    return JSON.parse(call.function.arguments) as Json
  } catch {
    return {}
  }
}

/** Text stays text; OpenAI's image parts become image blocks; blocks in Anthropic's own form pass. */
function blocks(content: Json): Json {
  if (!Array.isArray(content)) return textOf(content)
  return content.map((part): Json => {
    if (!isJsonObject(part) || part.type !== 'image_url') return part
    const url = String(isJsonObject(part.image_url) ? part.image_url.url : part.image_url)
    const data = /^data:([^;,]+);base64,(.*)$/s.exec(url)
    const source: JsonObject = data
      ? { type: 'base64', media_type: data[1] ?? '', data: data[2] ?? '' }
      : { type: 'url', url }
    return { type: 'image', source }
  })
}

function textOf(content: Json): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return content === null ? '' : JSON.stringify(content)
  return content.map((part) => (isJsonObject(part) ? String(part.text ?? '') : String(part))).join('')
}

const FINISH: Readonly<Record<string, string>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'tool_calls',
  refusal: 'content_filter',
}

function read(raw: Json): ChatAnswer {
  if (!isJsonObject(raw) || !Array.isArray(raw.content)) {
    throw new StepError('LLM request failed: the answer is no message', { code: 'llm_error' })
  }
  const parts = raw.content.filter(isJsonObject)
  const joined = (type: string, member: string) =>
    parts
      .filter((part) => part.type === type)
      .map((part) => String(part[member] ?? ''))
      .join('')
  const content = joined('text', 'text')
  const toolCalls = parts.filter(({ type }) => type === 'tool_use').map(toolCall)
  const finishReason = FINISH[String(raw.stop_reason)] ?? String(raw.stop_reason ?? '')
  const message: Message = {
    role: 'assistant',
    content,
    ...(toolCalls.length > 0 ? { tool_calls: toolCalls } : {}),
  }
  const usage = (isJsonObject(raw.usage) ? raw.usage : {}) as Record<string, number | undefined>
  const { input_tokens: prompt_tokens = 0, output_tokens: completion_tokens = 0 } = usage
  const hasMore = parts.some(({ type }) => type !== 'text' && type !== 'tool_use')
  return {
    id: String(raw.id ?? ''),
    model: String(raw.model ?? ''),
    choices: [{ index: 0, message, finish_reason: finishReason }],
    usage: { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens },
    content,
    finishReason,
    toolCalls,
    thinking: joined('thinking', 'thinking'),
    message: hasMore ? { ...message, anthropic_content: raw.content } : message,
    raw: JSON.parse(JSON.stringify(raw)) as Json,
  }
}

function toolCall({ id, name, input }: JsonObject): ToolCall {
  return {
    id: String(id ?? ''),
    type: 'function',
    function: { name: String(name ?? ''), arguments: JSON.stringify(input ?? {}) },
  }
}
