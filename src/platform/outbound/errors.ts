import { formatDuration } from '../duration.js'

/** What the guarded client may answer instead of a response. The message is for the flow's author: no credentials, no inner addresses. */
export abstract class OutboundError extends Error {
  abstract readonly code: string

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** The target may not be reached from here, whoever asks. */
export class OutboundRefused extends OutboundError {
  readonly code = 'outbound_refused'

  constructor(
    readonly host: string,
    readonly reason: string,
  ) {
    super(host === '' ? `request refused: ${reason}` : `request to '${host}' refused: ${reason}`)
  }
}

/** The exchange did not end in time, its body included. */
export class OutboundTimeout extends OutboundError {
  readonly code = 'outbound_timeout'

  constructor(
    readonly host: string,
    readonly timeoutMs: number,
  ) {
    super(`request to '${host}' timed out after ${formatDuration(timeoutMs)}`)
  }
}

/** The response is larger than the caller takes. */
export class OutboundTooLarge extends OutboundError {
  readonly code = 'outbound_too_large'

  constructor(
    readonly host: string,
    readonly maxBytes: number,
  ) {
    super(`the response of '${host}' is larger than ${maxBytes} bytes`)
  }
}

/** The target was allowed, but there was no exchange with it: no such name, connection refused, certificate at fault and the like. */
export class OutboundFailed extends OutboundError {
  readonly code = 'outbound_failed'

  constructor(
    readonly host: string,
    readonly reason: string,
    options?: ErrorOptions,
  ) {
    super(`request to '${host}' failed: ${reason}`, options)
  }
}
