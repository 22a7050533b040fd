import { StepError, type StepType } from '../../engine/step.js'
import { MAX_ITEMS } from './limits.js'
import { memberOf } from './member.js'

/** The end of a loop: collects what one of its layers put out in each round. */
export function aggregator(): StepType {
  return {
    name: 'aggregator',
    title: 'Aggregator',
    category: 'control',
    summary: 'Collects what a layer of a loop put out in each round.',
    stepClass: 'pure',
    params: PARAMS,
    output: OUTPUT,
    async run({ source, sourceRef, field }) {
      if (!Array.isArray(source)) {
        const message = `'${String(sourceRef).slice(0, 100)}' is no layer of a loop before this one`
        throw new StepError(message, { code: 'no_loop', retryable: false })
      }
      // A round that did not come to the layer has nothing to collect.
      const reached = source.filter((one) => one !== null)
      const items = field === undefined ? reached : reached.map((one) => memberOf(one, String(field)))
      return { output: { items, count: items.length } }
    },
  }
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  anyOf: [{ required: ['sourceRef'] }, { required: ['source'] }],
  properties: {
    sourceRef: {
      type: 'string',
      minLength: 1,
      maxLength: 255,
      description: 'The ref of the layer in the loop whose outputs to collect.',
      examples: ['fetch'],
    },
    field: {
      type: 'string',
      minLength: 1,
      maxLength: 1_000,
      description: 'The member of each output to collect, with dots into objects and lists. Absent: the whole output.',
      examples: ['body.id'],
    },
    source: {
      type: 'array',
      maxItems: MAX_ITEMS,
      description: 'The list itself. Filled in where sourceRef names a layer of a loop.',
      examples: [[{ id: 1 }, { id: 2 }]],
    },
  },
}

const OUTPUT = {
  type: 'object',
  additionalProperties: false,
  required: ['items', 'count'],
  properties: {
    items: { type: 'array', description: 'What was collected, in the order of the rounds.' },
    count: { type: 'integer', minimum: 0, description: 'How many there are.' },
  },
}
