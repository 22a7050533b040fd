import OpenAI from 'openai'
import { StepError } from '../../engine/step.js'
import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import type { Outbound } from '../ports.js'
import type { ChatAnswer, ChatRequest, Message, ToolCall } from './chat-messages.js'
import { providerFetch } from './provider-fetch.js'

const DEFAULT_TEMPERATURE = 0.7

/** Asks OpenAI, or a server with the same API, for a chat completion. */
export async function askOpenAi(outbound: Outbound, request: ChatRequest, signal: AbortSignal): Promise<ChatAnswer> {
  const client = new OpenAI({
    apiKey: request.apiKey,
    baseURL: request.baseUrl ?? 'https://api.openai.com/v1',
    // Named, because the library would take them from the environment.
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    logLevel: 'off',
    maxRetries: 0,
    timeout: request.timeoutMs,
    fetch: providerFetch(outbound, request.timeoutMs),
  })
  const ask = (body: JsonObject) =>
    client.chat.completions.create(body as unknown as OpenAI.ChatCompletionCreateParamsNonStreaming, { signal })
  const body = bodyOf(request)
  const completion = await ask(body).catch((error: unknown) => {
    const adapted = adapt(body, request, error)
    if (adapted) return ask(adapted)
    throw error
  })
  return read(completion as unknown as Json)
}

function bodyOf(request: ChatRequest): JsonObject {
  const temperature = request.temperature === undefined ? DEFAULT_TEMPERATURE : request.temperature
  return {
    ...request.options,
    model: request.model,
    messages: [...request.messages],
    ...(temperature === null ? {} : { temperature }),
    ...(request.maxTokens === undefined ? {} : { max_tokens: request.maxTokens }),
    ...(request.stop === undefined ? {} : { stop: request.stop }),
    ...(request.tools.length === 0 ? {} : { tools: request.tools }),
    ...(request.responseFormat === undefined ? {} : { response_format: request.responseFormat }),
    stream: false,
  }
}

/**
 * The request as a reasoning model wants it, when it refused this one for a member that it does not know: the default temperature, or
 * the older name of the limit. Undefined where another request would not help.
 */
function adapt(body: JsonObject, request: ChatRequest, error: unknown): JsonObject | undefined {
  if (!(error instanceof OpenAI.APIError) || error.status !== 400) return undefined
  const refusesTemperature = error.param === 'temperature' && request.temperature === undefined
  const refusesLimit = error.param === 'max_tokens' && body.max_tokens !== undefined
  if (!refusesTemperature && !refusesLimit) return undefined
  const { temperature, max_tokens, ...rest } = body
  return {
    ...rest,
    ...(request.temperature === undefined || temperature === undefined ? {} : { temperature }),
    ...(max_tokens === undefined ? {} : { max_completion_tokens: max_tokens }),
  }
}

/** Compatible servers leave out what they do not know: only a choice with a message is required. */
function read(raw: Json): ChatAnswer {
  const completion = isJsonObject(raw) ? raw : {}
  const choices = (Array.isArray(completion.choices) ? completion.choices : []).filter(isJsonObject)
  const [first] = choices
  if (!first || !isJsonObject(first.message)) {
    throw new StepError('LLM request failed: the answer is no chat completion', { code: 'llm_error' })
  }
  const message = first.message as Message
  const usage = (isJsonObject(completion.usage) ? completion.usage : {}) as Record<string, number | undefined>
  const { prompt_tokens = 0, completion_tokens = 0 } = usage
  return {
    id: text(completion.id),
    model: text(completion.model),
    choices: choices as unknown as ChatAnswer['choices'],
    usage: {
      ...usage,
      prompt_tokens,
      completion_tokens,
      total_tokens: usage.total_tokens ?? prompt_tokens + completion_tokens,
    },
    content: text(message.content),
    finishReason: text(first.finish_reason),
    toolCalls: (Array.isArray(message.tool_calls) ? message.tool_calls : []).filter(isToolCall),
    thinking: text(message.reasoning_content ?? message.reasoning),
    message: turn(message),
    raw: JSON.parse(JSON.stringify(raw)) as Json,
  }
}

/** The members of an answer that are also allowed in a question. */
function turn({ content, tool_calls, refusal }: JsonObject): Message {
  return {
    role: 'assistant',
    content: content ?? (tool_calls === undefined ? '' : null),
    ...(Array.isArray(tool_calls) && tool_calls.length > 0 ? { tool_calls } : {}),
    ...(typeof refusal === 'string' ? { refusal } : {}),
  }
}

function isToolCall(call: Json): call is ToolCall {
  return isJsonObject(call) && isJsonObject(call.function) && typeof call.function.name === 'string'
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}
