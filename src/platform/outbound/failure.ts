import { OutboundError, OutboundFailed } from './errors.js'

const WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'there is no host of this name',
  EAI_AGAIN: 'its name could not be resolved',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed',
  EHOSTUNREACH: 'the host is unreachable',
  ENETUNREACH: 'the network is unreachable',
  ETIMEDOUT: 'no connection in time',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  UND_ERR_SOCKET: 'the connection was closed before the response ended',
  UND_ERR_HEADERS_OVERFLOW: 'its headers are too large',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the response is not as long as it says',
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: 'the body is not as long as the Content-Length header says',
  UND_ERR_INVALID_ARG: 'a header of the request cannot be sent',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is signed by an unknown authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is signed by an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is signed by an unknown authority',
}

/**
 * What went wrong below `fetch`, in plain words. The original message is dropped from the text, because it may name addresses inside the
 * network or repeat a header's value.
 */
export function failureOf(error: unknown, host: string): OutboundError {
  for (const cause of chain(error)) {
    if (cause instanceof OutboundError) return cause
  }
  for (const cause of chain(error)) {
    const code = (cause as NodeJS.ErrnoException).code
    if (typeof code !== 'string') continue
    return new OutboundFailed(host, WORDS[code] ?? byFamily(code), { cause: error })
  }
  const badPort = chain(error).some((cause) => cause instanceof Error && cause.message === 'bad port')
  return new OutboundFailed(host, badPort ? 'this port is not for HTTP' : 'network error', { cause: error })
}

function byFamily(code: string): string {
  if (code.startsWith('HPE_')) return 'the answer is not HTTP'
  if (code.startsWith('Z_') || code.startsWith('ERR_BROTLI') || code.startsWith('ERR__ZSTD')) {
    return 'the response could not be decompressed'
  }
  if (code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS')) return `TLS failed (${code})`
  return `network error (${code})`
}

/** The error, its cause and so on; an AggregateError (several addresses tried) stands for its first member too. */
function chain(error: unknown): unknown[] {
  const found: unknown[] = []
  for (let one = error; one instanceof Error && found.length < 10; one = one.cause) {
    found.push(one)
    if (one instanceof AggregateError) found.push(...one.errors.slice(0, 3))
  }
  return found
}
