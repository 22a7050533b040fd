import { StepError } from '../../engine/step.js'
import { DomainError } from '../../platform/errors/domain-error.js'

export class ArtifactNotFound extends DomainError {
  constructor(id: string) {
    super('not_found', 'artifact-not-found', 'Artifact not found', `The artifact '${shortened(id)}' does not exist`, {
      resource: 'artifact',
    })
  }
}

/** Reasons why a step cannot leave a file; what another attempt cannot help says so. */

export function artifactTooLarge(path: string, size: number, limit: number): StepError {
  const message = `The file '${shortened(path)}' has ${inWords(size)}, and an artifact may have at most ${inWords(limit)}`
  return new StepError(message, { code: 'artifact-too-large', retryable: false })
}

export function quotaExceeded(path: string, size: number, quota: number): StepError {
  const message = `There is no room for the file '${shortened(path)}' of ${inWords(size)}: all artifacts of the tenant together may take up at most ${inWords(quota)}. Delete some, or wait until old ones expire`
  return new StepError(message, { code: 'storage-quota-exceeded', retryable: false })
}

export function artifactExists(path: string): StepError {
  const message = `The run has left another file as '${shortened(path)}' already, and artifacts do not change`
  return new StepError(message, { code: 'artifact-exists', retryable: false })
}

export function artifactBusy(path: string): StepError {
  const message = `Somebody else stores or removes the artifact '${shortened(path)}' of this run at the moment`
  return new StepError(message, { code: 'artifact-busy' })
}

export function unfitPath(path: string): StepError {
  const message = `The file '${shortened(path)}' cannot be an artifact: its path must be below /workspace/, in valid Unicode, and short`
  return new StepError(message, { code: 'artifact-path-invalid', retryable: false })
}

export function notStored(path: string, cause: DomainError): StepError {
  const message = `The artifact '${shortened(path)}' could not be stored: ${cause.message}`
  return new StepError(message, { code: cause.slug, cause })
}

function inWords(bytes: number): string {
  if (bytes < 1_024) return `${bytes} bytes`
  const exponent = Math.min(4, Math.floor(Math.log2(bytes) / 10))
  const number = Math.round((bytes / 1_024 ** exponent) * 10) / 10
  return `${number} ${['bytes', 'KiB', 'MiB', 'GiB', 'TiB'][exponent]}`
}

function shortened(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`
}
