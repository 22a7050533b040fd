import type { Json, JsonObject, JsonSchema } from '../../platform/json.js'

/** A flow as flow8 describes it, and as it is stored: JSON text of this. */
export interface FlowDefinition {
  layers: LayerDefinition[]
  settings?: FlowSettings
}

/** What a flow asks for its plays. */
export interface FlowSettings {
  /** -100 to 100; of two plays that wait, the one with the higher number starts first. */
  priority?: number
  /** The tag of the workers that take its plays. */
  queue?: string
  /** Plays of the flow that go on at the same time. */
  concurrency?: number
  /** Seconds that a play may take; for ever where absent. */
  timeout?: number
  /** The flow that is started with what is known of a play that failed. */
  onFailFlowId?: string
}

/** One step of a flow. flow8 also calls it a flowlet. */
export interface LayerDefinition {
  id: string
  name?: string
  /** How later layers name it: `{{ $prev.<ref>.… }}`. */
  ref: string
  /** The module, which is the name of a step type. */
  appId: string
  /** Layers with the same index run side by side; a higher one waits for all lower ones. */
  index: number
  args?: JsonObject
  /** Seconds that one attempt may take; 300 where absent. */
  timeout?: number
  retry?: RetryDefinition
  /** Decide whether the layer runs; where they do not hold it is FILTERED, and the flow goes on. */
  filters?: FilterDefinition[]
  needsApproval?: boolean
  /** Ids of accounts, ids or names of groups, and roles. */
  approvers?: string[]
  /** Seconds to wait for an approval; then it counts as declined. For ever where absent. */
  approvalTimeout?: number
  onDecline?: 'fail' | 'skip'
  onError?: 'fail' | 'continue' | 'skip'
  /** False: the layer is passed over as if its filters did not hold. */
  enabled?: boolean
}

export interface RetryDefinition {
  /** Further attempts after the first. */
  count: number
  /** Before the first of them; 1000 where absent. */
  delayMs?: number
  /** Each delay is so many times as long as the one before; 2 where absent. */
  backoffMultiplier?: number
  /** Each delay is drawn between these multiples of itself; true, or nothing, is [0.8, 1.2]. */
  jitter?: boolean | [number, number]
}

export const FILTER_OPERATORS = [
  'eq',
  'neq',
  'gt',
  'gte',
  'lt',
  'lte',
  'contains',
  'not_contains',
  'is_empty',
  'not_empty',
  'regex',
] as const
export const FILTER_CASTS = ['string', 'number', 'boolean'] as const

export interface FilterDefinition {
  /** A value, or a text with an expression. */
  leftValue: Json
  operator: (typeof FILTER_OPERATORS)[number]
  /** The same; `is_empty` and `not_empty` need none. */
  rightValue?: Json
  /** What both sides are read as before they are compared. */
  cast?: (typeof FILTER_CASTS)[number]
  /** How it joins what the filters before it came to; `and` where absent. */
  mode?: 'and' | 'or'
}

/** What one definition may have. */
export const LAYER_LIMITS = {
  bytes: 1_048_576,
  layers: 500,
  filters: 50,
  approvers: 100,
  /** Lists and objects inside each other in `args`. */
  depth: 100,
  refLength: 128,
} as const

export const REF_PATTERN = '^[A-Za-z_][A-Za-z0-9_-]*$'
/** What `$prev` holds beside the layers. */
export const RESERVED_REFS: readonly string[] = ['args', 'input']
export const DEFAULT_TIMEOUT_SECONDS = 300

const DAY_SECONDS = 86_400

const filterSchema: JsonSchema = {
  type: 'object',
  required: ['leftValue', 'operator'],
  additionalProperties: false,
  properties: {
    leftValue: { description: 'A value, or a text with an expression.' },
    operator: { enum: [...FILTER_OPERATORS] },
    rightValue: { description: 'What it is compared with. `is_empty` and `not_empty` need none.' },
    cast: { enum: [...FILTER_CASTS], description: 'What both sides are read as before they are compared.' },
    mode: { enum: ['and', 'or'], default: 'and', description: 'How it joins what the filters before it came to.' },
  },
}

const retrySchema: JsonSchema = {
  type: 'object',
  required: ['count'],
  additionalProperties: false,
  properties: {
    count: { type: 'integer', minimum: 0, maximum: 100, description: 'Further attempts after the first.' },
    delayMs: { type: 'integer', minimum: 0, maximum: DAY_SECONDS * 1000, default: 1000 },
    backoffMultiplier: { type: 'number', minimum: 1, maximum: 100, default: 2 },
    jitter: {
      anyOf: [
        { type: 'boolean' },
        { type: 'array', items: { type: 'number', minimum: 0, maximum: 10 }, minItems: 2, maxItems: 2 },
      ],
      default: true,
      description: 'Each delay is drawn between these multiples of itself; true is [0.8, 1.2].',
    },
  },
}

/** The form of one layer. What it says of others, and its `args`, are checked in its flow. */
export const layerSchema: JsonSchema = {
  type: 'object',
  required: ['id', 'ref', 'appId', 'index'],
  additionalProperties: false,
  properties: {
    id: { type: 'string', minLength: 1, maxLength: 128 },
    name: { type: 'string', maxLength: 200 },
    ref: { type: 'string', pattern: REF_PATTERN, maxLength: LAYER_LIMITS.refLength },
    appId: { type: 'string', minLength: 1, maxLength: 128 },
    index: { type: 'integer', minimum: 0, maximum: 1_000_000 },
    args: { type: 'object' },
    timeout: { type: 'number', exclusiveMinimum: 0, maximum: 30 * DAY_SECONDS, default: DEFAULT_TIMEOUT_SECONDS },
    retry: retrySchema,
    filters: { type: 'array', items: filterSchema, maxItems: LAYER_LIMITS.filters },
    needsApproval: { type: 'boolean', default: false },
    approvers: {
      type: 'array',
      items: { type: 'string', minLength: 1, maxLength: 128 },
      maxItems: LAYER_LIMITS.approvers,
    },
    approvalTimeout: { type: 'number', exclusiveMinimum: 0, maximum: 366 * DAY_SECONDS },
    onDecline: { enum: ['fail', 'skip'], default: 'fail' },
    onError: { enum: ['fail', 'continue', 'skip'], default: 'fail' },
    enabled: { type: 'boolean', default: true },
  },
}

/** The form of a definition. */
export const flowDefinitionSchema: JsonSchema = {
  type: 'object',
  required: ['layers'],
  additionalProperties: false,
  properties: {
    layers: { type: 'array', items: layerSchema, maxItems: LAYER_LIMITS.layers },
    settings: {
      type: 'object',
      additionalProperties: false,
      properties: {
        priority: { type: 'integer', minimum: -100, maximum: 100 },
        queue: { type: 'string', pattern: '^[a-z0-9][a-z0-9_-]{0,62}$' },
        concurrency: { type: 'integer', minimum: 1, maximum: 1_000 },
        timeout: { type: 'number', exclusiveMinimum: 0, maximum: 366 * DAY_SECONDS },
        onFailFlowId: { type: 'string', minLength: 1, maxLength: 64 },
      },
    },
  },
}
