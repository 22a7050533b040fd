import { Flow8Page, type Flow8PageQuery, pageOf } from '../../../dialects/flow8.paging.js'
import type { Json } from '../../../platform/json.js'
import {
  ArrayField,
  DateField,
  EnumField,
  IntField,
  JsonField,
  ObjectField,
  StringField,
} from '../../../platform/openapi/fields.js'
import type { StoredApproval } from '../approvals/approvals.service.js'
import type { Page } from '../runs.queries.js'
import type { RunStep } from '../steps/run-steps.service.js'
import type { StepState } from '../steps/step-state.js'
import { PLAY_STATES, type PlayState } from './plays.dto.js'

/** How a layer of a play stands, in flow8's words. */
export const toLayerState: Record<StepState, PlayState> = {
  ahead: 'NEW',
  running: 'RUN',
  waiting: 'WAIT',
  deferred: 'DEFERRED',
  succeeded: 'DONE',
  failed: 'FAIL',
  skipped: 'SKIP',
  filtered: 'FILTERED',
}

/** Why a layer failed. */
export class Flow8LayerError {
  @StringField({ description: 'In words.', example: 'the server answered 500', maxLength: 1_000_000, minLength: 0 })
  message: string

  @StringField({ description: 'In one word, for programs.', example: 'http_error', nullable: true })
  code: string | null
}

/** A layer's wait for an approval, and what came of it. */
export class Flow8LayerApproval {
  @EnumField(['approved', 'declined', 'expired'], {
    description: 'What was decided, or that nobody did in time; null while it is waited for.',
    example: 'approved',
    nullable: true,
    name: 'Flow8LayerDecision',
  })
  decision: 'approved' | 'declined' | 'expired' | null

  @StringField({ description: 'Who decided.', example: 'chief@example.com', nullable: true })
  by: string | null

  @StringField({
    description: 'Why, in their words.',
    example: 'Checked with the customer.',
    nullable: true,
    maxLength: 10_000,
  })
  note: string | null

  @DateField({ description: 'When it was decided.', example: '2026-01-01T12:00:04Z', nullable: true })
  at: string | null

  @ArrayField({
    of: 'string',
    description: 'Who may decide: accounts, groups and roles; any admin or editor where it is empty.',
    example: ['chief@example.com'],
  })
  approvers: string[]

  @DateField({
    description: 'When it counts as declined; null where it is waited for without end.',
    example: '2026-01-02T12:00:00Z',
    nullable: true,
  })
  deadline: string | null
}

/** What a layer came to in a play, or how it stands. */
export class Flow8PlayLayer {
  @StringField({ description: "The layer's id in its flow.", example: 'layer-123', maxLength: 128 })
  id: string

  @StringField({ description: 'How other layers name it.', example: 'fetch' })
  ref: string

  @EnumField(PLAY_STATES, {
    description:
      'How it stands. `NEW`: the play has not come to it; `RUN`: it is at work; `WAIT`: it waits for an approval, a signal or another play; `DEFERRED`: for a time, such as that of its next attempt; `DONE`; `FAIL`; `SKIP`: declined, passed over after a failure, or cancelled; `FILTERED`: its filters did not hold.',
    example: 'DONE',
    name: 'Flow8PlayState',
  })
  state: PlayState

  @DateField({ description: 'When it began; null where it has not.', example: '2026-01-01T12:00:01Z', nullable: true })
  startedAt: string | null

  @DateField({ description: 'When it ended; null while it has not.', example: '2026-01-01T12:00:02Z', nullable: true })
  completedAt: string | null

  @JsonField({
    description: 'What it put out, secrets masked; null where that is nothing.',
    example: { statusCode: 200 },
  })
  out: Json

  @StringField({ description: 'Its name; its ref where it has none.', example: 'Fetch the order' })
  name: string

  @StringField({ description: 'Its module.', example: 'curl' })
  appId: string

  @IntField({ description: 'Layers with the same index run side by side.', example: 0 })
  index: number

  @StringField({
    description:
      'Its place in the play: its ref, and in a loop the rounds around it, `each[3].fetch`. Null where the play has not come to it.',
    example: 'fetch',
    nullable: true,
    maxLength: 10_000,
  })
  path: string | null

  @IntField({ description: 'How many attempts came to an end.', example: 1 })
  attempts: number

  @ObjectField({
    type: () => Flow8LayerError,
    description: 'Why it failed, or its last attempt did; null unless one did.',
    nullable: true,
  })
  error: Flow8LayerError | null

  @ObjectField({
    type: () => Flow8LayerApproval,
    description: 'Its wait for an approval; null where it needed none so far.',
    nullable: true,
  })
  approval: Flow8LayerApproval | null
}

/** One page of a play's layers. */
export class Flow8PlayLayerList extends Flow8Page {
  @ArrayField({
    of: () => Flow8PlayLayer,
    description: 'The layers of this page, in the order of the flow; each round of a loop has entries of its own.',
  })
  data: Flow8PlayLayer[]
}

export function toPlayLayer(step: RunStep): Flow8PlayLayer {
  return {
    id: step.label.id,
    ref: step.node,
    state: toLayerState[step.state],
    startedAt: step.startedAt?.toISOString() ?? null,
    completedAt: step.finishedAt?.toISOString() ?? null,
    out: step.output,
    name: step.label.title ?? step.node,
    appId: step.nodeType,
    index: step.label.index,
    path: step.path ?? null,
    attempts: step.attempts,
    error: step.error ? { message: step.error.message ?? '', code: step.error.code ?? null } : null,
    approval: step.approval ? toLayerApproval(step.approval) : null,
  }
}

export function toPlayLayerList(page: Page<RunStep>, query: Flow8PageQuery): Flow8PlayLayerList {
  return pageOf(page.items.map(toPlayLayer), page.total, query)
}

function toLayerApproval(approval: StoredApproval): Flow8LayerApproval {
  return {
    decision: approval.decision ?? null,
    by: approval.decidedByEmail ?? approval.decidedBy ?? null,
    note: approval.note ?? null,
    at: approval.decidedAt?.toISOString() ?? null,
    approvers: approval.approvers,
    deadline: approval.deadline?.toISOString() ?? null,
  }
}
