import type { StepContext, StepType } from '../engine/step.js'
import type { Json, JsonObject } from '../platform/json.js'

/** Decides which way a flow goes on: the value of its script, as a word, is the action. */
export function condition(): StepType {
  return {
    name: 'condition',
    title: 'Condition',
    category: 'control',
    summary: 'Chooses the next node by a script, or by the first of several conditions that is true.',
    stepClass: 'pure',
    codeParams: ['condition_script', 'conditions'],
    params: PARAMS,
    async run(params, step) {
      const output = await decide(params, step)
      return { output, action: actionOf(output) }
    },
  }
}

async function decide(params: JsonObject, step: StepContext): Promise<Json> {
  if (params.condition_script !== undefined) return await step.script(String(params.condition_script))
  for (const { condition, action } of params.conditions as { condition: string | boolean; action: string }[]) {
    if (await step.script(String(condition))) return action
  }
  return params.default_action ?? 'default'
}

/** `true` and `false` for booleans, texts as they are, `default` for nothing. */
function actionOf(value: Json): string {
  if (value === null || value === '') return 'default'
  return typeof value === 'string' ? value : JSON.stringify(value)
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  anyOf: [{ required: ['condition_script'] }, { required: ['conditions'] }],
  dependentSchemas: { condition_script: { properties: { conditions: false } } },
  properties: {
    condition_script: {
      type: 'string',
      minLength: 1,
      description:
        'JavaScript whose value is the action: a text as it is, a boolean as "true" or "false", anything else as text.',
      examples: ['return input.status_code === 200', "input.total > 100 ? 'large' : 'small'"],
    },
    conditions: {
      type: 'array',
      minItems: 1,
      description: 'Conditions in order; the first that is true gives the action.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['condition', 'action'],
        properties: {
          condition: { type: ['string', 'boolean'], minLength: 1, description: 'A JavaScript expression over input.' },
          action: { type: 'string', minLength: 1, description: 'The action to take when it is true.' },
        },
      },
      examples: [[{ condition: 'input.total > 100', action: 'large' }]],
    },
    default_action: {
      type: 'string',
      minLength: 1,
      description: 'The action when no condition is true; default unless said otherwise.',
      examples: ['small'],
    },
  },
}
