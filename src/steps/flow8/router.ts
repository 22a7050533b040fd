import type { StepType } from '../../engine/step.js'
import { isJsonObject, type Json } from '../../platform/json.js'

interface Route {
  condition: Json
  label: string
}

/** Chooses one of several routes: the first whose condition holds. Conditions arrive evaluated. */
export function router(): StepType {
  return {
    name: 'router',
    title: 'Router',
    category: 'control',
    summary: 'Names the first route whose condition holds.',
    stepClass: 'pure',
    params: PARAMS,
    output: OUTPUT,
    async run(params) {
      const routes = params.routes as unknown as Route[]
      const route = routes.find(({ condition }) => holds(condition))?.label ?? params.default ?? null
      return typeof route === 'string' ? { output: { route }, action: route } : { output: { route } }
    },
  }
}

/** Texts that a template writes for what does not hold. */
const FALSE_TEXTS: ReadonlySet<string> = new Set(['', 'false', '0', '<no value>'])

/** As `if` has it in templates: nothing, zero, false and whatever is empty do not hold; nor do the texts that are written for them. */
export function holds(value: Json): boolean {
  if (typeof value === 'string') return !FALSE_TEXTS.has(value.trim())
  if (Array.isArray(value)) return value.length > 0
  if (isJsonObject(value)) return Object.keys(value).length > 0
  return Boolean(value)
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['routes'],
  properties: {
    routes: {
      type: 'array',
      minItems: 1,
      maxItems: 1_000,
      description:
        'The routes in order. A condition holds unless it is false, zero, empty or absent; the texts false and 0 do not hold either.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['condition', 'label'],
        properties: {
          condition: { description: 'An expression, or a value.' },
          label: { type: 'string', minLength: 1, maxLength: 255, description: 'What the route is called.' },
        },
      },
      examples: [
        [
          { condition: '{{ gt $prev.order.total 100 }}', label: 'large' },
          { condition: true, label: 'small' },
        ],
      ],
    },
    default: {
      type: 'string',
      minLength: 1,
      maxLength: 255,
      description: 'The route where no condition holds.',
      examples: ['other'],
    },
  },
}

const OUTPUT = {
  type: 'object',
  additionalProperties: false,
  required: ['route'],
  properties: {
    route: { type: ['string', 'null'], description: 'The label of the route; null where none was taken.' },
  },
}
