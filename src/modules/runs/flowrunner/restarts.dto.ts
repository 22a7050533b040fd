import type { JsonObject } from '../../../platform/json.js'
import { ArrayField, IdField, IntField, ObjectField, StringField } from '../../../platform/openapi/fields.js'
import type { Redriven, Replay } from '../lineage/restarts.service.js'

const SECRETS = {
  description:
    "Values of a job's arguments that are secrets, by name: they ended with the earlier execution. Shown nowhere again.",
  example: { password: 'correct horse battery' },
  optional: true,
} as const

/** What an execution that goes on needs anew. */
export class FlowRunnerResumeRequest {
  @ObjectField(SECRETS)
  secrets?: JsonObject
}

/** From where an execution is done again, and with what. */
export class FlowRunnerReplayRequest {
  @StringField({
    description:
      'The node to start from: its first visit and everything after it is done anew. Without it and `from_path` everything is.',
    example: 'end',
    maxLength: 255,
    minLength: 1,
    optional: true,
  })
  from_node?: string

  @StringField({
    description: 'The visit to start from, where a loop came by a node more than once: `fetch#2` is its second visit.',
    example: 'fetch#2',
    maxLength: 1_000,
    minLength: 1,
    optional: true,
  })
  from_path?: string

  @StringField({
    description:
      "The flow's version to run: its label, or `latest`. The execution's own unless said otherwise. Nodes whose outcomes are taken over must be there still, and be of the same type.",
    example: 'latest',
    maxLength: 255,
    minLength: 1,
    optional: true,
  })
  version?: string

  @ObjectField({
    description: 'Another input. Only where everything is done anew.',
    example: { key: 'value' },
    optional: true,
  })
  input?: JsonObject

  @ObjectField(SECRETS)
  secrets?: JsonObject
}

/** Which dead letters to redrive. */
export class FlowRunnerRedriveRequest {
  @ArrayField({
    of: 'string',
    itemMaxLength: 64,
    description: 'These executions. Without it, the oldest.',
    example: ['exec-123'],
    minItems: 1,
    maxItems: 1_000,
    optional: true,
  })
  ids?: string[]

  @IdField({ description: 'Only executions of this flow.', example: 'flow-123', optional: true })
  flow_id?: string

  @IntField({
    description: 'How many to redrive at most.',
    example: 100,
    default: 100,
    min: 1,
    max: 1_000,
    optional: true,
  })
  limit = 100
}

/** A dead letter that goes on. */
export class FlowRunnerRedrivenExecution {
  @IdField({ description: 'The dead letter.', example: 'exec-123' })
  id: string

  @IdField({ description: 'The execution that goes on from it.', example: 'exec-456' })
  execution_id: string
}

/** A dead letter that was left as it is. */
export class FlowRunnerSkippedExecution {
  @IdField({ description: 'The execution.', example: 'exec-789' })
  id: string

  @StringField({
    description: 'Why it does not go on.',
    example: 'Execution exec-789 is of a flow that was deleted',
    maxLength: 1_000,
  })
  reason: string
}

/** What became of dead letters. */
export class FlowRunnerRedrive {
  @ArrayField({ of: () => FlowRunnerRedrivenExecution, description: 'Those that go on.' })
  redriven: FlowRunnerRedrivenExecution[]

  @ArrayField({ of: () => FlowRunnerSkippedExecution, description: 'Those that do not.' })
  skipped: FlowRunnerSkippedExecution[]
}

export function toReplay(request: FlowRunnerReplayRequest): Replay {
  const { from_node: node, from_path: path, version, input, secrets } = request
  return { node, path, version, input, secrets }
}

export function toRedrive({ redriven, skipped }: Redriven): FlowRunnerRedrive {
  return {
    redriven: redriven.map(({ id, as }) => ({ id, execution_id: as })),
    skipped: skipped.map(({ id, reason }) => ({ id, reason: reason.replace(/^Run /, 'Execution ') })),
  }
}
