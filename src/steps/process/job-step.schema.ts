import type { JsonSchema } from '../../platform/json.js'
import { PROFILES } from '../../platform/processes/profiles.js'

const texts = { type: 'array', items: { type: 'string' } } as const

/** Of the parameters of steps of jobs: see `JobStepParams`. */
export const jobStepParams: JsonSchema = {
  type: 'object',
  required: ['job', 'step', 'bundle', 'folder', 'scripts', 'command', 'interpreter', 'profile'],
  properties: {
    job: {
      type: 'object',
      required: ['id', 'name', 'version'],
      properties: { id: { type: 'string' }, name: { type: 'string' }, version: { type: 'string' } },
    },
    step: { type: 'string', minLength: 1 },
    bundle: { type: 'string', pattern: '^[0-9a-f]{64}$' },
    folder: { type: 'string' },
    scripts: texts,
    command: { type: ['string', 'null'] },
    interpreter: { ...texts, minItems: 1 },
    libs: texts,
    env: { type: 'object', additionalProperties: { type: 'string' } },
    inheritEnv: { anyOf: [{ type: 'boolean' }, texts] },
    profile: { enum: [...PROFILES] },
    timeoutMs: { type: ['integer', 'null'], minimum: 1 },
    secretArgs: texts,
    artifacts: texts,
    container: { type: ['object', 'null'] },
  },
}
