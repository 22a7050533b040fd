import { isJsonObject } from '../../platform/json.js'
import type { Explanation } from '../conversation.js'

/** The errors of both libraries: `status` of the response, `error` its parsed body. */
interface ApiError extends Error {
  status?: number
  error?: unknown
}

/** What a provider's refusal means. Nothing is repeated of an answer to a wrong key, since providers quote parts of it. */
export function explainProvider(error: ApiError): Explanation | undefined {
  const { status } = error
  if (typeof status !== 'number') return undefined
  const output = { status_code: status }
  if (status === 401 || status === 403) {
    return {
      message: `LLM request failed with status ${status}: the provider refused the API key`,
      code: 'llm_unauthorized',
      retryable: false,
      output,
    }
  }
  const { message, code } = detail(error.error)
  const retryable =
    status === 408 || status === 409 || (status === 429 && code !== 'insufficient_quota') || status >= 500
  return {
    message: `LLM request failed with status ${status}${message === undefined ? '' : `: ${message.slice(0, 1_000)}`}`,
    code: status === 429 ? 'llm_rate_limited' : 'llm_error',
    retryable,
    output,
  }
}

/** OpenAI's library has taken the error out of its envelope; Anthropic's has not. */
function detail(body: unknown): { message?: string; code?: string } {
  const error = isJsonObject(body) && isJsonObject(body.error) ? body.error : body
  if (!isJsonObject(error)) return {}
  return {
    message: typeof error.message === 'string' ? error.message : undefined,
    code: typeof error.code === 'string' ? error.code : undefined,
  }
}
