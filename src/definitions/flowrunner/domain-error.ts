import { DomainError } from '../../platform/errors/domain-error.js'
import type { DefinitionFault } from '../yaml/faults.js'

/** The faults as an answer to a caller whose request carried the definition as its member `definition`. */
export function toDomainError(faults: readonly DefinitionFault[]): DomainError {
  const [first] = faults
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : ''
  return new DomainError(
    'unprocessable',
    'validation-error',
    'The request failed validation',
    first ? `The flow definition is invalid: ${first.detail}${more}` : 'The flow definition is invalid',
    { faults: faults.map((fault) => ({ pointer: '#/definition', ...fault })) },
  )
}
