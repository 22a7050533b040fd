import { Flow8Page, Flow8PageQuery, pageOf } from '../../../dialects/flow8.paging.js'
import { STEP_CATEGORIES, type StepCategory, type StepClass, type StepType } from '../../../engine/step.js'
import type { JsonObject } from '../../../platform/json.js'
import { ArrayField, EnumField, IdField, ObjectField, StringField } from '../../../platform/openapi/fields.js'

const REPETITIONS = ['pure', 'effect', 'transactional', 'at_most_once'] as const satisfies readonly StepClass[]

/** A kind of work that a layer can do, with all that a form for its args needs. */
export class Flow8Module {
  @IdField({ description: 'The id: the `appId` of a layer.', example: 'enumeration' })
  id: string

  @StringField({ description: 'What people call it.', example: 'Enumeration' })
  name: string

  @EnumField(STEP_CATEGORIES, {
    description: 'What it is for; absent where it is of no group.',
    example: 'control',
    name: 'Flow8ModuleCategory',
    optional: true,
  })
  category?: StepCategory

  @StringField({
    description: 'What it does, in a sentence.',
    example: 'Makes the list of the numbers from one to another.',
  })
  description: string

  @EnumField(REPETITIONS, {
    description:
      'What a crash may do to a layer in its work. `pure`: it runs again, and nobody can tell. `effect`: it runs again under the same key. `transactional`: it has happened exactly once. The strictest that its args can make of it.',
    example: 'pure',
    name: 'Flow8ModuleRepetition',
  })
  repetition: StepClass

  @ObjectField({
    description:
      'JSON Schema (2020-12) of its args, each with a description and with examples or the values that it may have. An expression may stand for any value.',
    example: {
      type: 'object',
      additionalProperties: false,
      required: ['from', 'to'],
      properties: {
        from: { type: 'number', description: 'The first number.', examples: [1] },
        to: { type: 'number', description: 'The last number, if the steps meet it.', examples: [10] },
      },
    },
  })
  args: JsonObject

  @ArrayField({
    of: 'string',
    description:
      'Args that hold templates or code of the module itself: expressions in them are evaluated by it, for each item.',
    example: [],
  })
  rawArgs: string[]

  @ObjectField({
    description: 'JSON Schema (2020-12) of what it puts out; absent where that cannot be said beforehand.',
    example: {
      type: 'object',
      required: ['items'],
      properties: {
        items: { type: 'array', items: { type: 'number' }, maxItems: 100_000, description: 'The numbers.' },
      },
    },
    optional: true,
  })
  out?: JsonObject
}

export class Flow8ModulesQuery extends Flow8PageQuery {
  @EnumField(STEP_CATEGORIES, {
    description: 'Only modules of this category.',
    example: 'control',
    name: 'Flow8ModuleCategory',
    optional: true,
  })
  category?: StepCategory
}

export class Flow8ModuleList extends Flow8Page {
  @ArrayField({ of: () => Flow8Module, description: 'This page.' })
  data: Flow8Module[]
}

export function toModule(type: StepType): Flow8Module {
  const { name, title = name, category, summary, stepClass, params, codeParams = [], output } = type
  return {
    id: name,
    name: title,
    ...(category && { category }),
    description: summary,
    repetition: stepClass,
    args: params as JsonObject,
    rawArgs: [...codeParams],
    ...(output && { out: output as JsonObject }),
  }
}

export function toModuleList(
  { types, total }: { types: readonly StepType[]; total: number },
  query: Flow8ModulesQuery,
): Flow8ModuleList {
  return pageOf(types.map(toModule), total, query)
}
