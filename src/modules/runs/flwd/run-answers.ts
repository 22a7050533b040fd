import type { Response } from 'express'

/** Aborts when the caller does not wait any more. */
export function goneOf(response: Response): AbortSignal {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  return gone.signal
}

/** Says of an answer that it is that to an earlier request. */
export function markReplay<Of extends { isRepeated: boolean }>(response: Response, answer: Of): Of {
  if (answer.isRepeated) response.setHeader('Idempotent-Replay', 'true')
  return answer
}
