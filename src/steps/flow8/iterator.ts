import { StepError, type StepType } from '../../engine/step.js'
import { MAX_ITEMS } from './limits.js'

/** The head of a loop: the layers behind it, up to its aggregator, are walked for each item. The walking is the engine's. */
export function iterator(): StepType {
  return {
    name: 'iterator',
    title: 'Iterator',
    category: 'control',
    summary: 'Has the layers behind it, up to its aggregator, done for each item of a list.',
    stepClass: 'pure',
    params: PARAMS,
    output: OUTPUT,
    async run() {
      throw new StepError('an iterator heads a loop of layers; there is none here', {
        code: 'no_loop',
        retryable: false,
      })
    },
  }
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['items'],
  properties: {
    items: { type: 'array', maxItems: MAX_ITEMS, description: 'The list.', examples: [['a', 'b', 'c']] },
    batchSize: {
      type: 'integer',
      minimum: 1,
      maximum: MAX_ITEMS,
      description: 'Hands over so many items at a time, as a list; unless it is said, one, as it is.',
      examples: [10],
    },
  },
}

const OUTPUT = {
  type: 'object',
  required: ['item', 'index', 'total', 'isLast'],
  properties: {
    item: { description: 'The item of this round; with a batch size the list of its items.' },
    index: { type: 'integer', minimum: 0, description: 'Which round this is, counted from 0.' },
    total: { type: 'integer', minimum: 0, description: 'How many rounds there are.' },
    isLast: { type: 'boolean', description: 'Whether this is the last round.' },
  },
}
