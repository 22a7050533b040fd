import type { StepType } from '../../engine/step.js'
import type { Json } from '../../platform/json.js'
import { MAX_ITEMS } from './limits.js'
import { holds } from './router.js'
import { parsed, Templates } from './templates.js'

/** Keeps the items of a list that a condition holds of. */
export function arrayFilter(): StepType {
  return {
    name: 'array-filter',
    title: 'Filter a list',
    category: 'data',
    summary: 'Keeps the items of a list that a condition holds of.',
    stepClass: 'pure',
    codeParams: ['condition'],
    params: PARAMS,
    output: OUTPUT,
    async run({ items, condition }, step) {
      const templates = await Templates.of(step)
      const test = parsed(conditionOf(String(condition)))
      const kept: Json[] = []
      for (const [index, item] of (items as Json[]).entries()) {
        await templates.turn()
        if (holds(templates.value(test, item, { $item: item, $index: index }))) kept.push(item)
      }
      return { output: { items: kept, count: kept.length } }
    },
  }
}

/** An expression may be written without its braces. */
function conditionOf(text: string): string {
  return text.includes('{{') ? text : `{{ ${text} }}`
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['items', 'condition'],
  properties: {
    items: { type: 'array', maxItems: MAX_ITEMS, description: 'The list.', examples: [[{ price: 5 }, { price: 20 }]] },
    condition: {
      type: 'string',
      minLength: 1,
      maxLength: 10_000,
      format: 'go-template',
      description:
        'An expression with the item as dot: .price is a member of it. $item, $index and $prev are there as well. It holds as the condition of a route does.',
      examples: ['{{ gt .price 10 }}', '{{ and .active (eq .country $prev.args.country) }}'],
    },
  },
}

const OUTPUT = {
  type: 'object',
  additionalProperties: false,
  required: ['items', 'count'],
  properties: {
    items: { type: 'array', description: 'The items that were kept, in their order.' },
    count: { type: 'integer', minimum: 0, description: 'How many these are.' },
  },
}
