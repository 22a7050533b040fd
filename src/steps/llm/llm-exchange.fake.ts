import type { Json, JsonObject } from '../../platform/json.js'

/** What the model is to say next. */
export interface Reply {
  text?: string
  thinking?: string
  toolCalls?: { name: string; arguments: JsonObject | string }[]
  finish?: 'length'
  /** An error instead of an answer. */
  status?: number
  error?: string
  errorCode?: string
  errorParam?: string
  /** Sent as it is, with status 200. */
  raw?: Json
  /** No answer at all. */
  silent?: true
}

/** A refusal as the providers spell it. */
export interface Refusal {
  status: number
  type: string
  message: string
  code?: string
  param?: string
}

export interface LlmRequest {
  path: string
  headers: Record<string, string | string[] | undefined>
  body: JsonObject
}
