import type { StepType } from '../../engine/step.js'
import type { Json } from '../../platform/json.js'
import { MAX_ITEMS } from './limits.js'
import { memberOf } from './member.js'
import { shapeOf, Templates } from './templates.js'

/** Makes something of each item of a list. */
export function arrayMap(): StepType {
  return {
    name: 'array-map',
    title: 'Map a list',
    category: 'data',
    summary: 'Makes something of each item of a list, by a template or by taking a member.',
    stepClass: 'pure',
    codeParams: ['template'],
    params: PARAMS,
    output: OUTPUT,
    async run({ items, template, field }, step) {
      const list = items as Json[]
      if (field !== undefined) return { output: listOf(list.map((item) => memberOf(item, String(field)))) }
      const templates = await Templates.of(step)
      const shape = shapeOf(template as Json)
      const made: Json[] = []
      for (const [index, item] of list.entries()) {
        await templates.turn()
        const more = { $item: item, $index: index }
        made.push(templates.kept(shape((one) => templates.value(one, item, more))))
      }
      return { output: listOf(made) }
    },
  }
}

function listOf(items: Json[]) {
  return { items, count: items.length }
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['items'],
  oneOf: [{ required: ['template'] }, { required: ['field'] }],
  properties: {
    items: {
      type: 'array',
      maxItems: MAX_ITEMS,
      description: 'The list.',
      examples: [[{ first: 'Ada', last: 'Lovelace' }]],
    },
    template: {
      description:
        'What to make of each: any JSON whose texts are expressions with the item as dot. $item, $index and $prev are there as well. A text that is one expression keeps the type of its value.',
      examples: ['{{ .first }} {{ .last }}', { name: '{{ .first }}', place: '{{ add $index 1 }}' }],
    },
    field: {
      type: 'string',
      minLength: 1,
      maxLength: 1_000,
      description: 'Instead of a template: the member to take of each, with dots into objects and lists.',
      examples: ['address.city'],
    },
  },
}

const OUTPUT = {
  type: 'object',
  additionalProperties: false,
  required: ['items', 'count'],
  properties: {
    items: { type: 'array', description: 'What was made, in the order of the list.' },
    count: { type: 'integer', minimum: 0, description: 'How many there are.' },
  },
}
