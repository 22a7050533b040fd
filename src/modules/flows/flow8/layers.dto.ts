import { FILTER_CASTS, FILTER_OPERATORS, type LayerDefinition } from '../../../definitions/flow8/layers.js'
import { Flow8Page, type Flow8PageQuery, pageOf } from '../../../dialects/flow8.paging.js'
import type { Json, JsonObject } from '../../../platform/json.js'
import {
  ArrayField,
  BooleanField,
  EnumField,
  IdField,
  IntField,
  JsonField,
  NumberField,
  ObjectField,
  StringField,
} from '../../../platform/openapi/fields.js'

const ON_DECLINE = ['fail', 'skip'] as const
const ON_ERROR = ['fail', 'continue', 'skip'] as const
const MODES = ['and', 'or'] as const

/** Decides, with the others of its layer, whether the layer runs. */
export class Flow8Filter {
  @JsonField({ description: 'A value, or a text with an expression.', example: '{{ $prev.fetch.statusCode }}' })
  leftValue: Json

  @EnumField(FILTER_OPERATORS, {
    description: 'How the values are compared.',
    example: 'eq',
    name: 'Flow8FilterOperator',
  })
  operator: (typeof FILTER_OPERATORS)[number]

  @JsonField({
    description: 'What it is compared with: a value, or a text with an expression. is_empty and not_empty need none.',
    example: 200,
    optional: true,
  })
  rightValue?: Json

  @EnumField(FILTER_CASTS, {
    description: 'What both sides are read as before they are compared.',
    example: 'number',
    optional: true,
    name: 'Flow8FilterCast',
  })
  cast?: (typeof FILTER_CASTS)[number]

  @EnumField(MODES, {
    description: 'How it joins what the filters before it came to.',
    example: 'and',
    default: 'and',
    optional: true,
    name: 'Flow8FilterMode',
  })
  mode?: (typeof MODES)[number]
}

/** Further attempts after one that failed. */
export class Flow8Retry {
  @IntField({ description: 'Further attempts after the first.', example: 3, max: 100 })
  count: number

  @IntField({
    description: 'Milliseconds before the first of them.',
    example: 1000,
    default: 1000,
    optional: true,
    max: 86_400_000,
  })
  delayMs?: number

  @NumberField({
    description: 'Each delay is so many times as long as the one before.',
    example: 2,
    default: 2,
    optional: true,
    min: 1,
    max: 100,
  })
  backoffMultiplier?: number

  @JsonField({
    description: 'Each delay is drawn between these multiples of itself; true is [0.8, 1.2], false is none.',
    example: true,
    optional: true,
  })
  jitter?: boolean | [number, number]
}

const texts = {
  name: { description: 'The name people know it by.', example: 'Fetch orders', maxLength: 200 },
  ref: {
    description: 'How later layers name it, unique in its flow: `{{ $prev.<ref>.field }}`.',
    example: 'fetch',
    maxLength: 128,
    pattern: /^[A-Za-z_][A-Za-z0-9_-]*$/,
    patternMeaning: 'must begin with a letter or _, and hold letters, digits, _ and - only',
  },
  appId: { description: 'The module: one that GET /api/modules lists.', example: 'curl' },
  index: {
    description: 'Layers with the same index run side by side; a higher one waits for all lower ones.',
    example: 0,
    max: 1_000_000,
  },
  args: {
    description: "The module's arguments; texts may hold expressions.",
    example: { url: 'https://example.com/orders' },
  },
  timeout: { description: 'Seconds that one attempt may take.', example: 300, min: 0.001, max: 2_592_000 },
  retry: { description: 'Attempts after one that failed.' },
  filters: {
    description: 'Decide whether the layer runs; where they do not hold its state is FILTERED, and the flow goes on.',
    maxItems: 50,
  },
  needsApproval: { description: 'Its work begins once somebody approved it.', example: false },
  approvers: {
    description:
      'Who may approve it: accounts and groups by their ids, accounts by their e-mail, or roles. Nobody in particular: editors and admins.',
    example: ['admin'],
    itemMaxLength: 254,
    maxItems: 100,
  },
  approvalTimeout: {
    description: 'Seconds to wait for an approval; then it counts as declined. For ever where it is not said.',
    example: 86_400,
    min: 0.001,
    max: 31_622_400,
  },
  onDecline: { description: 'What a refusal comes to.', example: 'fail', name: 'Flow8OnDecline' },
  onError: {
    description: 'What a failure comes to: the flow fails, goes on, or goes on as if the layer had been skipped.',
    example: 'fail',
    name: 'Flow8OnError',
  },
  enabled: { description: 'False: it is passed over as if its filters did not hold.', example: true },
}

/** What to change of a layer; what is left out stays. */
export class Flow8LayerChange {
  @StringField({ ...texts.name, optional: true })
  name?: string

  @StringField({ ...texts.ref, optional: true, minLength: 1 })
  ref?: string

  @StringField({ ...texts.appId, optional: true, minLength: 1, maxLength: 128 })
  appId?: string

  @IntField({ ...texts.index, optional: true })
  index?: number

  @ObjectField({ ...texts.args, optional: true })
  args?: JsonObject

  @NumberField({ ...texts.timeout, optional: true })
  timeout?: number

  @ObjectField({ ...texts.retry, type: () => Flow8Retry, optional: true })
  retry?: Flow8Retry

  @ArrayField({ ...texts.filters, of: () => Flow8Filter, optional: true })
  filters?: Flow8Filter[]

  @BooleanField({ ...texts.needsApproval, optional: true })
  needsApproval?: boolean

  @ArrayField({ ...texts.approvers, of: 'string', optional: true })
  approvers?: string[]

  @NumberField({ ...texts.approvalTimeout, optional: true })
  approvalTimeout?: number

  @EnumField(ON_DECLINE, { ...texts.onDecline, optional: true })
  onDecline?: (typeof ON_DECLINE)[number]

  @EnumField(ON_ERROR, { ...texts.onError, optional: true })
  onError?: (typeof ON_ERROR)[number]

  @BooleanField({ ...texts.enabled, optional: true })
  enabled?: boolean
}

/** A layer to be made. */
export class Flow8NewLayer {
  @IdField({
    description:
      'The id of a layer that the flow has, where all layers of a flow are given; a new one is made otherwise.',
    example: 'layer-123',
    optional: true,
  })
  id?: string

  @StringField({ ...texts.name, optional: true })
  name?: string

  @StringField({
    ...texts.ref,
    description: `${texts.ref.description} Left out, a word made of the module.`,
    optional: true,
    minLength: 1,
  })
  ref?: string

  @StringField({ ...texts.appId, maxLength: 128 })
  appId: string

  @IntField({
    ...texts.index,
    description: `${texts.index.description} Left out, it comes after all others.`,
    optional: true,
  })
  index?: number

  @ObjectField({ ...texts.args, optional: true })
  args?: JsonObject

  @NumberField({ ...texts.timeout, optional: true, default: 300 })
  timeout?: number

  @ObjectField({ ...texts.retry, type: () => Flow8Retry, optional: true })
  retry?: Flow8Retry

  @ArrayField({ ...texts.filters, of: () => Flow8Filter, optional: true })
  filters?: Flow8Filter[]

  @BooleanField({ ...texts.needsApproval, optional: true, default: false })
  needsApproval?: boolean

  @ArrayField({ ...texts.approvers, of: 'string', optional: true })
  approvers?: string[]

  @NumberField({ ...texts.approvalTimeout, optional: true })
  approvalTimeout?: number

  @EnumField(ON_DECLINE, { ...texts.onDecline, optional: true, default: 'fail' })
  onDecline?: (typeof ON_DECLINE)[number]

  @EnumField(ON_ERROR, { ...texts.onError, optional: true, default: 'fail' })
  onError?: (typeof ON_ERROR)[number]

  @BooleanField({ ...texts.enabled, optional: true, default: true })
  enabled?: boolean
}

/** One step of a flow. flow8 also calls it a flowlet. */
export class Flow8Layer {
  @IdField({ description: "The layer's id.", example: 'layer-123' })
  id: string

  @IdField({ description: 'The flow that it belongs to.', example: 'flow-123' })
  flowId: string

  @StringField(texts.name)
  name: string

  @StringField({ ...texts.ref, pattern: undefined, maxLength: 1000 })
  ref: string

  @StringField({ ...texts.appId, maxLength: 255 })
  appId: string

  @IntField(texts.index)
  index: number

  @ObjectField(texts.args)
  args: JsonObject

  @NumberField({ ...texts.timeout, max: undefined })
  timeout: number

  @ObjectField({ ...texts.retry, type: () => Flow8Retry, optional: true })
  retry?: Flow8Retry

  @ArrayField({ ...texts.filters, of: () => Flow8Filter })
  filters: Flow8Filter[]

  @BooleanField(texts.needsApproval)
  needsApproval: boolean

  @ArrayField({ ...texts.approvers, of: 'string' })
  approvers: string[]

  @NumberField({ ...texts.approvalTimeout, nullable: true })
  approvalTimeout: number | null

  @EnumField(ON_DECLINE, texts.onDecline)
  onDecline: (typeof ON_DECLINE)[number]

  @EnumField(ON_ERROR, texts.onError)
  onError: (typeof ON_ERROR)[number]

  @BooleanField(texts.enabled)
  enabled: boolean
}

export class Flow8LayerList extends Flow8Page {
  @ArrayField({ of: () => Flow8Layer, description: 'This page.', maxItems: 100 })
  data: Flow8Layer[]
}

export function toLayer(flowId: string, layer: LayerDefinition): Flow8Layer {
  return {
    id: layer.id,
    flowId,
    name: layer.name ?? layer.ref,
    ref: layer.ref,
    appId: layer.appId,
    index: layer.index,
    args: layer.args ?? {},
    timeout: layer.timeout ?? 300,
    ...(layer.retry && { retry: { ...layer.retry } }),
    filters: (layer.filters ?? []).map((filter) => ({ ...filter })),
    needsApproval: layer.needsApproval ?? false,
    approvers: layer.approvers ?? [],
    approvalTimeout: layer.approvalTimeout ?? null,
    onDecline: layer.onDecline ?? 'fail',
    onError: layer.onError ?? 'fail',
    enabled: layer.enabled ?? true,
  }
}

export function toLayerList(flowId: string, layers: readonly LayerDefinition[], query: Flow8PageQuery): Flow8LayerList {
  const first = query.page * query.size
  const data = layers.slice(first, first + query.size).map((layer) => toLayer(flowId, layer))
  return pageOf(data, layers.length, query)
}
