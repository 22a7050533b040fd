import type { DomainError, ErrorKind } from '../platform/errors/domain-error.js'
import { type Dialect, firstFault, plainProblem } from '../platform/http/problem.js'
import { statusOfKind } from '../platform/http/statuses.js'

/** The reference's code words, and in its manner those for what it leaves unsaid. */
const codes: Record<ErrorKind, string> = {
  invalid: 'invalid_request',
  unauthenticated: 'unauthorized',
  forbidden: 'forbidden',
  not_found: 'not_found',
  method_not_allowed: 'method_not_allowed',
  conflict: 'conflict',
  gone: 'gone',
  precondition_failed: 'precondition_failed',
  too_large: 'too_large',
  unsupported_media_type: 'unsupported_media_type',
  range_not_satisfiable: 'range_not_satisfiable',
  unprocessable: 'validation_error',
  key_reused: 'validation_error',
  rate_limited: 'rate_limited',
  internal: 'internal_error',
  not_supported: 'not_supported',
  bad_gateway: 'bad_gateway',
  unavailable: 'unavailable',
  insufficient_storage: 'insufficient_storage',
}

/** What the core says of runs, by slug: FlowRunner calls them executions. What callers sent comes after the core's own word. */
const aboutRuns = new Set([
  'run-not-found',
  'run-finished',
  'run-cannot-start-again',
  'account-in-use',
  'database-unavailable',
  'not-ready',
])

function inItsWords({ slug, title, message }: DomainError): { title: string; message: string } {
  if (!aboutRuns.has(slug)) return { title, message }
  return { title: executionsFor(title), message: executionsFor(message) }
}

function executionsFor(text: string): string {
  return text.replace(/\b([Rr])un(s?)\b/, (_, r: string, s: string) => `${r === 'R' ? 'E' : 'e'}xecution${s}`)
}

/** FlowRunner: the problem carries `error: {code, message, details}`. Lists are paged by `limit` (10 unless said) and `offset`. */
export const flowRunner: Dialect = {
  surface: 'flowRunner',
  accepts: ['bearer', 'basic'],
  status: (kind) => statusOfKind[kind],
  problem(error, occurrence) {
    const details = firstFault(error)
    const { title, message } = inItsWords(error)
    return {
      ...plainProblem(error, occurrence),
      title,
      detail: message,
      error: { code: codes[error.kind], message, ...(details && { details }) },
    }
  },
  extensions: {
    error: {
      type: 'object',
      description: "The error in FlowRunner's own form.",
      required: ['code', 'message'],
      additionalProperties: false,
      properties: {
        code: { type: 'string', enum: [...new Set(Object.values(codes))], description: 'The kind of error.' },
        message: { type: 'string', maxLength: 10_000, description: 'What went wrong this time.' },
        details: {
          type: 'object',
          description: 'The first fault of the request.',
          required: ['field', 'reason'],
          additionalProperties: false,
          properties: {
            field: { type: 'string', maxLength: 10_000, description: 'The member or parameter at fault.' },
            reason: { type: 'string', maxLength: 10_000, description: 'What is wrong with it.' },
          },
        },
      },
    },
  },
}
