import type { JsonObject, JsonSchema } from '../../platform/json.js'
import { timeoutParam } from '../conversation.js'
import { invalidParams } from '../invalid-params.js'
import type { Outbound } from '../ports.js'
import type { ChatAnswer, ChatRequest } from './chat-messages.js'

export async function chat(outbound: Outbound, request: ChatRequest, signal: AbortSignal): Promise<ChatAnswer> {
  // Loaded by the first that asks: each library takes tens of megabytes.
  const ask =
    request.provider === 'anthropic'
      ? (await import('./anthropic.js')).askAnthropic
      : (await import('./openai.js')).askOpenAi
  return await ask(outbound, request, signal)
}

/** What `llm` and `agent` need to know of the model. */
export function modelOf(params: JsonObject, timeoutMs: number): Omit<ChatRequest, 'messages' | 'tools'> {
  const provider = params.provider as ChatRequest['provider']
  const baseUrl = typeof params.base_url === 'string' ? params.base_url : undefined
  if (provider === 'generic' && baseUrl === undefined) {
    throw invalidParams('provider generic needs base_url, the address of an OpenAI-compatible API')
  }
  return {
    provider,
    baseUrl,
    apiKey: String(params.api_key),
    model: String(params.model),
    temperature: params.temperature as number | null | undefined,
    maxTokens: params.max_tokens as number | undefined,
    stop: params.stop as string[] | undefined,
    responseFormat: params.response_format as JsonObject | undefined,
    options: (params.options ?? {}) as JsonObject,
    timeoutMs,
  }
}

/** A tool or a legacy function, written with or without its `function` envelope, in the envelope. */
export function toolDefinition(given: JsonObject): JsonObject {
  const { name, description, parameters, strict } = (given.function ?? given) as JsonObject
  return {
    type: 'function',
    function: {
      name: name ?? '',
      ...(description === undefined ? {} : { description }),
      parameters: parameters ?? { type: 'object', properties: {} },
      ...(strict === undefined ? {} : { strict }),
    },
  }
}

export const MODEL_PARAMS: Record<string, JsonSchema> = {
  provider: {
    enum: ['openai', 'anthropic', 'generic'],
    description: 'Who runs the model; `generic` is any server with an API like that of OpenAI, at `base_url`.',
    examples: ['openai'],
  },
  api_key: {
    type: 'string',
    minLength: 1,
    writeOnly: true,
    description: 'API key of the provider.',
    examples: ['${secrets.OPENAI_API_KEY}'],
  },
  base_url: {
    type: 'string',
    format: 'http-url',
    description: 'Address of the API, instead of the provider’s own.',
    examples: ['https://llm.example.com/v1'],
  },
  model: { type: 'string', minLength: 1, description: 'Name of the model.', examples: ['gpt-4o-mini'] },
  temperature: {
    type: ['number', 'null'],
    minimum: 0,
    maximum: 2,
    description:
      'How freely the model chooses its words. 0.7 where absent and the model takes one, as Anthropic’s and some others no longer do; null leaves it to the provider.',
    examples: [0.7],
  },
  max_tokens: {
    type: 'integer',
    minimum: 1,
    description: 'At most so many tokens of answer. Anthropic’s models get 4096 where absent.',
  },
  stop: { type: 'array', items: { type: 'string' }, description: 'Texts at which the answer ends.' },
  options: { type: 'object', description: 'More members of the provider’s own request.', examples: [{ top_p: 0.9 }] },
  timeout: timeoutParam('120s'),
}
