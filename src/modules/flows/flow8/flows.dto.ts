import type { FlowSettings } from '../../../definitions/flow8/layers.js'
import { Flow8Page, Flow8PageQuery, pageOf } from '../../../dialects/flow8.paging.js'
import {
  ArrayField,
  BooleanField,
  DateField,
  EnumField,
  IdField,
  IntField,
  NumberField,
  ObjectField,
  QueryBooleanField,
  StringField,
} from '../../../platform/openapi/fields.js'
import { type Flow, KEY_VALUE_CONFLICTS, type KeyValueConflict } from '../flow.entity.js'
import type { FlowPage } from '../flows.service.js'
import type { LayeredFlow } from '../layered-flows.service.js'
import { Flow8Layer, Flow8NewLayer, toLayer } from './layers.dto.js'

/** What a flow asks for its plays. Null takes a wish back. */
export class Flow8Execution {
  @NumberField({
    description: 'Seconds that a play may take; then it fails. For ever where it is not said.',
    example: 3600,
    optional: true,
    nullable: true,
    min: 0.001,
    max: 31_622_400,
  })
  timeout?: number | null

  @StringField({
    description: 'The tag of the workers that take its plays.',
    example: 'default',
    optional: true,
    nullable: true,
    maxLength: 63,
    pattern: /^[a-z0-9][a-z0-9_-]{0,62}$/,
    patternMeaning: 'must begin with a small letter or a digit, and hold those, _ and - only',
  })
  queue?: string | null

  @IdField({
    description: 'The flow that is started when a play fails, with `{args, error, playId, flowId}`.',
    example: null,
    optional: true,
    nullable: true,
  })
  onFailFlowId?: string | null

  @IntField({
    description: 'Of two plays that wait, the one with the higher number starts first.',
    example: 0,
    optional: true,
    nullable: true,
    min: -100,
    max: 100,
  })
  priority?: number | null

  @IntField({
    description: 'Plays of the flow that go on at the same time.',
    example: 1,
    optional: true,
    nullable: true,
    min: 1,
    max: 1000,
  })
  concurrency?: number | null
}

const texts = {
  name: { description: 'The name people know it by.', example: 'Order import', maxLength: 200 },
  description: { description: 'What it is for.', example: 'Imports the orders of the night.', maxLength: 2000 },
  enabled: { description: 'False: nothing starts it, unless it is forced to.', example: true },
  category: { description: 'A word to find it by.', example: 'import', maxLength: 100 },
  groupId: { description: 'The group that it lies in.', example: null },
  permanentId: {
    description: 'A name for programs, unique among the flows of the account. It stays when the flow is renamed.',
    example: 'order-import',
    maxLength: 100,
    pattern: /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/,
    patternMeaning: 'must hold small letters, digits and dashes only, and neither begin nor end with a dash',
  },
  kvInherit: { description: 'Whether it sees entries of its group and of all flows.', example: true },
  kvConflict: {
    description:
      'Which entry counts where several have its key: that of the wider scope, that of the narrower, or both merged.',
    example: 'child',
    name: 'Flow8KvConflict',
  },
  tags: { of: 'string', description: 'Words to find it by.', example: ['nightly'], itemMaxLength: 100, maxItems: 50 },
  execution: { description: 'What it asks for its plays.', type: () => Flow8Execution },
} as const

/** What to change of a flow; what is left out stays. */
export class Flow8FlowChange {
  @StringField({ ...texts.name, optional: true, minLength: 1 })
  name?: string

  @StringField({ ...texts.description, optional: true })
  description?: string

  @BooleanField({ ...texts.enabled, optional: true })
  enabled?: boolean

  @StringField({ ...texts.category, optional: true })
  category?: string

  @IdField({ ...texts.groupId, optional: true, nullable: true })
  groupId?: string | null

  @StringField({ ...texts.permanentId, optional: true, minLength: 1 })
  permanentId?: string

  @BooleanField({ ...texts.kvInherit, optional: true })
  kvInherit?: boolean

  @EnumField(KEY_VALUE_CONFLICTS, { ...texts.kvConflict, optional: true })
  kvConflict?: KeyValueConflict

  @ArrayField({ ...texts.tags, optional: true })
  tags?: string[]

  @ObjectField({ ...texts.execution, optional: true })
  execution?: Flow8Execution

  @ArrayField({
    of: () => Flow8NewLayer,
    description: 'All of its layers, in place of those that it has. A layer with an id that the flow knows keeps it.',
    optional: true,
    maxItems: 500,
  })
  layers?: Flow8NewLayer[]
}

/** A flow to be made. */
export class Flow8NewFlow {
  @StringField(texts.name)
  name: string

  @StringField({ ...texts.description, optional: true })
  description?: string

  @BooleanField({ ...texts.enabled, optional: true, default: true })
  enabled?: boolean

  @StringField({ ...texts.category, optional: true })
  category?: string

  @IdField({ ...texts.groupId, optional: true, nullable: true })
  groupId?: string | null

  @StringField({ ...texts.permanentId, optional: true, minLength: 1 })
  permanentId?: string

  @BooleanField({ ...texts.kvInherit, optional: true, default: true })
  kvInherit?: boolean

  @EnumField(KEY_VALUE_CONFLICTS, { ...texts.kvConflict, optional: true, default: 'child' })
  kvConflict?: KeyValueConflict

  @ArrayField({ ...texts.tags, optional: true })
  tags?: string[]

  @ObjectField({ ...texts.execution, optional: true })
  execution?: Flow8Execution

  @ArrayField({
    of: () => Flow8NewLayer,
    description: 'Its layers, where they are not added one by one.',
    optional: true,
    maxItems: 500,
  })
  layers?: Flow8NewLayer[]
}

/** A flow, without its layers. */
export class Flow8FlowSummary {
  @IdField({ description: "The flow's id.", example: 'flow-123' })
  id: string

  @StringField(texts.name)
  name: string

  @StringField({ ...texts.description, minLength: 0 })
  description: string

  @BooleanField(texts.enabled)
  enabled: boolean

  @StringField({ ...texts.category, minLength: 0 })
  category: string

  @IdField({ ...texts.groupId, nullable: true })
  groupId: string | null

  @StringField({ ...texts.permanentId, pattern: undefined })
  permanentId: string

  @IntField({ description: 'Counts every change of the flow.', example: 1 })
  version: number

  @BooleanField(texts.kvInherit)
  kvInherit: boolean

  @EnumField(KEY_VALUE_CONFLICTS, texts.kvConflict)
  kvConflict: KeyValueConflict

  @ArrayField(texts.tags)
  tags: string[]

  @DateField({ description: 'When it was made.', example: '2026-01-01T12:00:00.000Z' })
  createdAt: string

  @DateField({ description: 'When it was changed last.', example: '2026-01-01T12:00:00.000Z' })
  updatedAt: string
}

/** A flow with its layers. */
export class Flow8Flow extends Flow8FlowSummary {
  @ObjectField(texts.execution)
  execution: Flow8Execution

  @ArrayField({ of: () => Flow8Layer, description: 'Its layers, by index.' })
  layers: Flow8Layer[]

  @StringField({
    description: 'Why its layers cannot be shown, or cannot be changed: it is written in another language.',
    example: null,
    nullable: true,
    maxLength: 2000,
  })
  layersNote: string | null
}

export class Flow8FlowsQuery extends Flow8PageQuery {
  @StringField({ description: 'Only flows of this category.', example: 'import', optional: true, maxLength: 100 })
  category?: string

  @QueryBooleanField({
    description: 'Only flows that are enabled, or only those that are not.',
    example: true,
    optional: true,
  })
  enabled?: boolean

  @IdField({ description: 'Only flows of this group.', example: 'group-123', optional: true })
  groupId?: string

  @StringField({ description: 'Only flows with this tag.', example: 'nightly', optional: true, maxLength: 100 })
  tag?: string
}

export class Flow8FlowList extends Flow8Page {
  @ArrayField({ of: () => Flow8FlowSummary, description: 'This page.', maxItems: 100 })
  data: Flow8FlowSummary[]
}

export function toSummary(flow: Flow): Flow8FlowSummary {
  return {
    id: flow.id,
    name: flow.name,
    description: flow.description,
    enabled: flow.enabled,
    category: flow.category,
    groupId: flow.groupId,
    permanentId: flow.permanentId,
    version: flow.changes,
    kvInherit: flow.kvInherit,
    kvConflict: flow.kvConflict,
    tags: flow.tags,
    createdAt: flow.createdAt.toISOString(),
    updatedAt: flow.updatedAt.toISOString(),
  }
}

export function toFlow({ flow, isOwn, layers, reason, execution }: LayeredFlow): Flow8Flow {
  return {
    ...toSummary(flow),
    execution: toExecution(execution),
    layers: layers.map((layer) => toLayer(flow.id, layer)),
    layersNote: isOwn ? null : noteOf(reason),
  }
}

export function toFlowList({ flows, total }: FlowPage, query: Flow8PageQuery): Flow8FlowList {
  return pageOf(flows.map(toSummary), total, query)
}

function noteOf(reason: string | undefined): string {
  const written = 'The flow is written in YAML; its nodes are changed through /api/v1/flows.'
  return reason === undefined ? written : `${written} They cannot be shown as layers: ${reason}.`
}

function toExecution(settings: FlowSettings): Flow8Execution {
  return {
    timeout: settings.timeout ?? null,
    queue: settings.queue ?? null,
    onFailFlowId: settings.onFailFlowId ?? null,
    priority: settings.priority ?? null,
    concurrency: settings.concurrency ?? null,
  }
}
