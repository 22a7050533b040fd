import type { StepContext } from '../engine/step.js'
import { StepError } from '../engine/step.js'
import { formatDuration, InvalidDuration, parseDuration } from '../platform/duration.js'
import type { Json, JsonSchema } from '../platform/json.js'
import { OutboundError } from '../platform/outbound/errors.js'
import { invalidParams } from './invalid-params.js'

/** How long a conversation may go on winding up after it was stopped, before it is left to itself. */
const WIND_UP_MS = 2_000
const LONGEST_MS = 3_600_000

/** For the limits of a client library, so that the conversation's own comes first: a timeout is told in one way. */
export function behind(timeoutMs: number): number {
  return timeoutMs + 1_000
}

/** The other side of a conversation, and what may be told of it. */
export interface Service {
  /** As people know it, such as `the mail server smtp.example.com:587`. */
  name: string
  timeoutMs: number
  /** Texts that no error may repeat: passwords, keys, tokens. */
  secrets?: readonly unknown[]
  /** What an error of the client library means; undefined where the general words do. */
  explain?: (error: Error) => Explanation | undefined
}

export interface Explanation {
  message: string
  code: string
  retryable?: boolean
  output?: Json
}

/**
 * Talks to an outside service under the step's abort signal and a time limit. `talk` closes its sockets when its signal aborts; the step
 * does not wait longer than a moment for that. Whatever fails becomes a `StepError` in plain words that repeats no secret, and without a
 * `cause`, because client libraries keep their configuration in their errors.
 */
export async function converse<T>(
  service: Service,
  step: Pick<StepContext, 'signal'>,
  talk: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController()
  const signal = AbortSignal.any([step.signal, limit.signal])
  const timer = setTimeout(() => limit.abort(), service.timeoutMs)
  let windUp: NodeJS.Timeout | undefined
  const abandoned = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => {
      windUp = setTimeout(() => reject(signal.reason), WIND_UP_MS)
    })
  })
  try {
    signal.throwIfAborted()
    return await Promise.race([talk(signal), abandoned])
  } catch (error) {
    if (step.signal.aborted) {
      throw new StepError(`the step was stopped while it talked to ${service.name}`, {
        code: 'aborted',
        retryable: false,
      })
    }
    if (limit.signal.aborted) {
      throw new StepError(`${service.name} did not answer within ${formatDuration(service.timeoutMs)}`, {
        code: 'timeout',
      })
    }
    throw inPlainWords(error, service)
  } finally {
    clearTimeout(timer)
    clearTimeout(windUp)
  }
}

/** A `timeout` parameter whose bare numbers count seconds. */
export function timeoutParam(byDefault: string): JsonSchema {
  return {
    type: ['string', 'number'],
    format: 'go-duration',
    exclusiveMinimum: 0,
    description: `How long the step may take: a duration such as ${byDefault}, or a number of seconds.`,
    default: byDefault,
    examples: [byDefault, 60],
  }
}

/** Milliseconds of a `timeout` parameter; a bare number counts `numberUnitMs` each. */
export function timeLimit(value: Json | undefined, byDefault: string, numberUnitMs = 1_000): number {
  return Math.min(durationParam('timeout', value ?? byDefault, numberUnitMs), LONGEST_MS)
}

/** Milliseconds of a parameter that is a duration as text or a number of units; longer than nothing. */
export function durationParam(name: string, value: Json, numberUnitMs = 1_000): number {
  try {
    const ms = typeof value === 'number' ? value * numberUnitMs : parseDuration(String(value))
    if (ms > 0) return ms
    throw invalidParams(`${name} must be longer than nothing`)
  } catch (error) {
    if (!(error instanceof InvalidDuration)) throw error
    throw invalidParams(`${name}: ${error.message}`)
  }
}

/** The text with every secret of three characters or more replaced, as it is and as it stands in URLs. */
export function withoutSecrets(text: string, secrets: readonly unknown[] = []): string {
  const spellings = secrets
    .filter((secret): secret is string => typeof secret === 'string' && secret.length >= 3)
    .flatMap((secret) => [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64')])
    .sort((a, b) => b.length - a.length)
  return spellings.reduce((clean, spelling) => clean.replaceAll(spelling, '***'), text)
}

function inPlainWords(thrown: unknown, service: Service): StepError {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  const said =
    error instanceof StepError
      ? error
      : (service.explain?.(error) ?? refusal(error) ?? network(error, service) ?? unknown(error, service))
  return new StepError(withoutSecrets(said.message, service.secrets), {
    code: said.code,
    retryable: said.retryable,
    output: said.output,
    action: said instanceof StepError ? said.action : undefined,
  })
}

function refusal(error: Error): Explanation | undefined {
  const cause = causes(error).find((one) => one instanceof OutboundError)
  return cause && { message: cause.message, code: cause.code, retryable: cause.code !== 'outbound_refused' }
}

const NETWORK: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused the connection',
  ECONNRESET: 'closed the connection',
  EPIPE: 'closed the connection',
  ENOTFOUND: 'has a host name without an address',
  EAI_AGAIN: 'has a host name that cannot be looked up now',
  EHOSTUNREACH: 'cannot be reached',
  ENETUNREACH: 'cannot be reached',
  ETIMEDOUT: 'did not answer in time',
}
const UNTRUSTED = /^(ERR_TLS_CERT_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/

function network(error: Error, service: Service): Explanation | undefined {
  for (const cause of causes(error)) {
    // nodemailer has codes of its own, and keeps the system's beside them.
    const { code: ownCode, originalCode: code = ownCode } = cause as { code?: string; originalCode?: string }
    if (typeof code !== 'string') continue
    if (NETWORK[code]) return { message: `${service.name} ${NETWORK[code]}`, code: 'connection_failed' }
    if (UNTRUSTED.test(code) || /certificate|altname/i.test(cause.message)) {
      return {
        message: `${service.name} has a certificate that is not trusted: ${cause.message}`,
        code: 'untrusted_certificate',
      }
    }
  }
  return undefined
}

function unknown(error: Error, service: Service): Explanation {
  return { message: `${service.name}: ${error.message}`, code: 'step_failed' }
}

/** The error and what it came from, the members of an `AggregateError` (one per address tried) included. */
function causes(error: Error): Error[] {
  const found: Error[] = []
  const visit = (one: unknown) => {
    if (!(one instanceof Error) || found.includes(one)) return
    found.push(one)
    if (one instanceof AggregateError) one.errors.forEach(visit)
    visit(one.cause)
  }
  visit(error)
  return found
}
