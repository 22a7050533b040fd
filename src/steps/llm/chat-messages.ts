import type { Json, JsonObject } from '../../platform/json.js'

/** One turn of a conversation, as OpenAI's chat completions write it; the other providers are translated from and to it. */
export interface Message extends JsonObject {
  role: string
  /** Text, or a list of parts. */
  content: Json
}

export interface ToolCall extends JsonObject {
  id: string
  type: string
  /** `arguments` is JSON as the model wrote it, which need not be valid. */
  function: { name: string; arguments: string }
}

export interface ChatRequest {
  provider: 'openai' | 'anthropic' | 'generic'
  apiKey: string
  baseUrl?: string
  model: string
  messages: readonly Message[]
  /** Absent means 0.7 where the model takes one; null leaves it to the provider. */
  temperature?: number | null
  maxTokens?: number
  stop?: string[]
  /** `{type: 'function', function: {name, description, parameters}}` each. */
  tools: JsonObject[]
  responseFormat?: JsonObject
  /** Members of the provider's own request. */
  options: JsonObject
  timeoutMs: number
}

/** A model's answer, whoever gave it. */
export interface ChatAnswer {
  id: string
  model: string
  choices: { index: number; message: Message; finish_reason: string }[]
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number }
  content: string
  finishReason: string
  toolCalls: ToolCall[]
  /** What the model thought aloud before it answered, where the provider tells. */
  thinking: string
  /** The assistant's turn, to go on with. */
  message: Message
  raw: Json
}
