/** Why a container did not do its work, as stable words for programs. */
export type ContainerErrorCode =
  | 'container.runtime.unavailable' // nothing answers where Docker or podman should
  | 'container.runtime.lost' // it answered, and then no more
  | 'container.refused' // what is asked for is not allowed here
  | 'container.image.invalid' // no name of an image
  | 'container.image.unavailable' // it is not here, and cannot be pulled
  | 'container.start.failed' // its program cannot be started
  | 'container.timeout'

/** In words for the author of a job: no path of the host stands in it. */
export class ContainerError extends Error {
  constructor(
    readonly code: ContainerErrorCode,
    message: string,
    options: ErrorOptions = {},
  ) {
    super(message, options)
    this.name = 'ContainerError'
  }

  /** Whether another attempt can help without anything being changed. */
  get retryable(): boolean {
    return RETRYABLE.has(this.code)
  }
}

const RETRYABLE: ReadonlySet<ContainerErrorCode> = new Set([
  'container.runtime.unavailable',
  'container.runtime.lost',
  'container.image.unavailable',
  'container.timeout',
])

/** What Docker's API answered, without the status code that dockerode puts in front of it. */
export function answerOf(error: unknown): { status?: number; message: string } {
  const { statusCode: status, json, message } = error as { statusCode?: number; json?: unknown; message?: string }
  const said = (json as { message?: unknown } | null | undefined)?.message
  return { status, message: typeof said === 'string' ? said : String(message ?? error) }
}
