import { FlowRunnerPage } from '../../../dialects/flowrunner.paging.js'
import { ArrayField, DateField, IdField, StringField } from '../../../platform/openapi/fields.js'
import { pagedBy } from '../../../platform/openapi/paging.js'
import type { Flow } from '../flow.entity.js'
import type { FlowPage } from '../flows.service.js'
import { DEFINITION, UPDATED_DEFINITION } from './flows.examples.js'

const tags = { of: 'string', itemMaxLength: 100, maxItems: 50, example: ['production'] } as const

/** A flow to be made. */
export class FlowRunnerNewFlow {
  @StringField({ description: 'The name people know it by.', example: 'My Flow', maxLength: 200 })
  name: string

  @StringField({
    description: "What it is for. Left out, the definition's own description.",
    example: 'A simple flow',
    maxLength: 2000,
    optional: true,
  })
  description?: string

  @StringField({ description: 'The flow in YAML.', example: DEFINITION, maxLength: 1_048_576 })
  definition: string

  @ArrayField({ ...tags, description: 'Words to find it by.', optional: true })
  tags?: string[]
}

/** What to change of a flow; what is left out stays. */
export class FlowRunnerFlowChange {
  @StringField({
    description: 'The name people know it by.',
    example: 'Updated Flow',
    maxLength: 200,
    optional: true,
    minLength: 1,
  })
  name?: string

  @StringField({ description: 'What it is for.', example: 'An updated flow', maxLength: 2000, optional: true })
  description?: string

  @StringField({
    description: 'The flow in YAML. It becomes a new revision; running executions stay with theirs.',
    example: UPDATED_DEFINITION,
    maxLength: 1_048_576,
    minLength: 1,
    optional: true,
  })
  definition?: string

  @ArrayField({ ...tags, description: 'Words to find it by.', example: ['production', 'updated'], optional: true })
  tags?: string[]
}

/** One flow, without its definition. */
export class FlowRunnerFlow {
  @IdField({ description: "The flow's id.", example: 'flow-123' })
  id: string

  @StringField({ description: 'The name people know it by.', example: 'My Flow', maxLength: 200 })
  name: string

  @StringField({ description: 'What it is for.', example: 'A simple flow', maxLength: 2000, minLength: 0 })
  description: string

  @StringField({ description: "The author's version, read from the definition.", example: '1.0.0' })
  version: string

  @DateField({ description: 'When it was made.', example: '2023-01-01T12:00:00Z' })
  created_at: string

  @DateField({ description: 'When it was last changed.', example: '2023-01-01T12:00:00Z' })
  updated_at: string

  @ArrayField({ ...tags, description: 'Words to find it by.' })
  tags: string[]
}

/** One flow with its definition. */
export class FlowRunnerFlowDetails extends FlowRunnerFlow {
  @StringField({ description: 'The flow in YAML, as it was sent.', example: DEFINITION, maxLength: 1_048_576 })
  definition: string
}

/** Which flows to list. */
export class FlowRunnerFlowsQuery extends pagedBy({ default: 10, max: 100 }) {
  @StringField({ description: 'Only flows with this tag.', example: 'production', maxLength: 100, optional: true })
  tag?: string
}

/** One page of flows. */
export class FlowRunnerFlowList extends FlowRunnerPage {
  @ArrayField({ of: () => FlowRunnerFlow, description: 'This page, oldest first.' })
  flows: FlowRunnerFlow[]
}

/** That the flow is gone. */
export class FlowRunnerFlowMessage {
  @StringField({ description: 'What was done.', example: 'Flow deleted successfully' })
  message: string
}

export function toFlow(flow: Flow): FlowRunnerFlow {
  return {
    id: flow.id,
    name: flow.name,
    description: flow.description,
    version: flow.version,
    created_at: flow.createdAt.toISOString(),
    updated_at: flow.updatedAt.toISOString(),
    tags: flow.tags,
  }
}

export function toFlowDetails({ flow, definition }: { flow: Flow; definition: string }): FlowRunnerFlowDetails {
  return { ...toFlow(flow), definition }
}

export function toFlowList(page: FlowPage, query: FlowRunnerFlowsQuery): FlowRunnerFlowList {
  return { flows: page.flows.map(toFlow), total: page.total, limit: query.limit, offset: query.offset }
}
