import { StepError } from '../engine/step.js'

/** Parameters that the step cannot work with, as only the step itself could see. Another attempt would meet the same ones. */
export function invalidParams(message: string): StepError {
  return new StepError(message, { code: 'invalid_params', retryable: false })
}
