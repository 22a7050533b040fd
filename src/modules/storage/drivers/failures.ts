import { DomainError } from '../../../platform/errors/domain-error.js'
import { OutboundError } from '../../../platform/outbound/errors.js'
import { failureOf } from '../../../platform/outbound/failure.js'
import { ProviderFailed } from '../storage.errors.js'

/** What a service answered instead of doing what it was asked. */
export interface Refusal {
  /** 0 where no answer came. */
  status: number
  /** The service's own word for it. */
  code?: string
}

const WORDS: Readonly<Record<number, string>> = {
  400: 'it did not take the request',
  401: 'it refuses the credentials',
  403: 'it refuses the credentials, or they may not do this',
  429: 'it asks for fewer requests',
  501: 'it does not offer this',
  503: 'it is too busy',
}

/**
 * A fault of a service in words that may be shown: never its own text, which may repeat credentials, a signature, or an address inside
 * the network. Nor is its error the cause: the SDKs' errors carry the request, signature and all, and the log would tell it.
 */
export function providerFailed(error: unknown, host: string, { status, code }: Refusal): Error {
  if (error instanceof DomainError) return error
  if (error instanceof OutboundError || isOutboundCode(error)) return new ProviderFailed(sentence(ownWords(error)))
  if (isTooLarge(error)) return new ProviderFailed(`'${host}' answers with more than there is room for`)
  if (status === 0) return new ProviderFailed(sentence(failureOf(error, host).message))
  const word = code !== undefined && /^[A-Za-z][\w.-]{0,63}$/.test(code) ? `${status} ${code}` : `${status}`
  const isRedirect = status >= 300 && status < 400
  const reason = isRedirect ? 'it points elsewhere: the endpoint or the region is another' : WORDS[status]
  return new ProviderFailed(`'${host}' answered ${word}${reason ? `: ${reason}` : ''}`)
}

/** By our own words for it, which Azure's client keeps, or by those of the client of Google's. */
function isTooLarge(error: unknown): boolean {
  return error instanceof Error && /answer is larger than \d+ bytes|content size at .* over limit/s.test(error.message)
}

/** The libraries keep of an error its code and its words, some behind words of their own that repeat the URL. */
function ownWords({ message }: Error): string {
  return message.slice(Math.max(0, message.lastIndexOf("request to '")))
}

function isOutboundCode(error: unknown): error is Error {
  const code = error instanceof Error && (error as NodeJS.ErrnoException).code
  return typeof code === 'string' && code.startsWith('outbound_')
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
}
