import { Flow8Page, Flow8PageQuery, pageOf } from '../../../dialects/flow8.paging.js'
import { isJsonObject, type Json, type JsonObject } from '../../../platform/json.js'
import {
  ArrayField,
  BooleanField,
  DateField,
  EnumField,
  IdField,
  IntField,
  ObjectField,
  StringField,
} from '../../../platform/openapi/fields.js'
import type { RunState } from '../run-state.js'
import type { Page, Run, RunSummary } from '../runs.queries.js'
import type { AcceptedRun, StartOptions } from '../runs.service.js'
import type { SharedRunFilter, Standing, Verdict } from '../shared-runs.service.js'
import type { WaitsFor } from '../steps/step-state.js'

/** All states that flow8 knows. `FILTERED` is said of layers alone, and nothing here is ever `ON_HOLD`. */
export const PLAY_STATES = ['NEW', 'RUN', 'DONE', 'FAIL', 'SKIP', 'FILTERED', 'DEFERRED', 'WAIT', 'ON_HOLD'] as const

export type PlayState = (typeof PLAY_STATES)[number]

/** How a play stands, in flow8's words. */
export const toState: Record<RunState, (waitsFor?: WaitsFor) => PlayState> = {
  queued: () => 'NEW',
  running: () => 'RUN',
  waiting: (waitsFor) => (waitsFor === 'time' ? 'DEFERRED' : 'WAIT'),
  completed: () => 'DONE',
  failed: () => 'FAIL',
  cancelled: () => 'SKIP',
}

/** What a state stands for; where it can be said of layers alone, no play. */
const statesOf: Record<PlayState, Pick<SharedRunFilter, 'states' | 'waitsFor'>> = {
  NEW: { states: ['queued'] },
  RUN: { states: ['running'] },
  DONE: { states: ['completed'] },
  FAIL: { states: ['failed'] },
  SKIP: { states: ['cancelled'] },
  FILTERED: { states: [] },
  DEFERRED: { states: ['waiting'], waitsFor: 'time' },
  WAIT: { states: ['waiting'], waitsFor: 'answer' },
  ON_HOLD: { states: [] },
}

const stateField = {
  description:
    'How it stands. `NEW`: accepted; `RUN`: under way; `WAIT`: it waits for an approval, a signal or another play; `DEFERRED`: for a time, such as that of the next attempt; `DONE`, `FAIL` and `SKIP` (cancelled) are final.',
  name: 'Flow8PlayState',
}

/** What a play is started with. */
export class Flow8RunRequest {
  @ObjectField({
    description: "The play's arguments: `$prev.args` in its layers.",
    example: { orderId: 'A-17' },
    optional: true,
  })
  args?: JsonObject

  @StringField({
    description:
      'With a key that was used for this flow before, the answer is that play, and nothing is started. The same as the header `Idempotency-Key`; where both are given, this one counts.',
    example: 'order-A-17',
    optional: true,
    minLength: 1,
    maxLength: 255,
    pattern: /^[\x21-\x7e]+$/,
    patternMeaning: 'must be visible ASCII characters',
  })
  idempotencyKey?: string

  @BooleanField({
    description: 'True: start it even though the flow is disabled.',
    example: false,
    optional: true,
    default: false,
  })
  force?: boolean
}

/** A play that has been accepted: from now on it survives a restart. */
export class Flow8AcceptedPlay {
  @IdField({ description: "The play's id.", example: 'run-123' })
  playId: string

  @EnumField(PLAY_STATES, { ...stateField, example: 'RUN' })
  state: PlayState

  @DateField({ description: 'When it was accepted.', example: '2026-01-01T12:00:00Z' })
  startedAt: string
}

/** Why a play failed. */
export class Flow8PlayError {
  @StringField({ description: 'In words.', example: 'the server answered 500', maxLength: 1_000_000, minLength: 0 })
  message: string

  @StringField({ description: 'In one word, for programs.', example: 'http_error', nullable: true })
  code: string | null

  @StringField({ description: 'The layer that it failed in, by its ref.', example: 'fetch', nullable: true })
  ref: string | null
}

/** One execution of a flow, as lists show it. */
export class Flow8PlaySummary {
  @IdField({ description: "The play's id.", example: 'run-123' })
  id: string

  @IdField({ description: 'The flow that is played.', example: 'flow-123' })
  flowId: string

  @EnumField(PLAY_STATES, { ...stateField, example: 'DONE' })
  state: PlayState

  @DateField({ description: 'When it was accepted.', example: '2026-01-01T12:00:00Z' })
  startedAt: string

  @DateField({ description: 'When it ended; null while it has not.', example: '2026-01-01T12:00:05Z', nullable: true })
  completedAt: string | null

  @IntField({
    description: 'Milliseconds from acceptance to the end; null while it has not ended.',
    example: 5000,
    nullable: true,
  })
  duration: number | null

  @ObjectField({
    type: () => Flow8PlayError,
    description: 'Why it failed; null unless it did.',
    nullable: true,
  })
  error: Flow8PlayError | null
}

/** One execution of a flow. */
export class Flow8Play extends Flow8PlaySummary {
  @ObjectField({ description: 'What it was started with.', example: { orderId: 'A-17' } })
  args: JsonObject

  @ObjectField({
    description:
      'The output of its last layer, an object of their outputs by ref where those were several; a value that is no object stands under `result`. Null unless it is done.',
    example: { statusCode: 200 },
    nullable: true,
  })
  out: JsonObject | null
}

/** Which plays to list. */
export class Flow8PlaysQuery extends Flow8PageQuery {
  @IdField({ description: 'Only plays of this flow.', example: 'flow-123', optional: true })
  flowId?: string

  @EnumField(PLAY_STATES, { description: 'Only plays that stand so.', example: 'WAIT', optional: true })
  state?: PlayState

  @EnumField(['me'], {
    description: "`me`: plays that wait for the caller's approval, whosever they are, instead of the caller's own.",
    example: 'me',
    optional: true,
  })
  awaiting?: 'me'
}

/** One page of plays. */
export class Flow8PlayList extends Flow8Page {
  @ArrayField({ of: () => Flow8PlaySummary, description: 'The plays of this page, newest first.' })
  data: Flow8PlaySummary[]
}

export const DECISIONS = ['approved', 'declined'] as const

/** A word on a layer that waits for it. */
export class Flow8Approval {
  @StringField({ description: 'The layer, by its id; its ref will do.', example: 'layer-123', maxLength: 128 })
  layerId: string

  @EnumField(DECISIONS, {
    description: 'Approved, its work begins. Declined, it fails, or is skipped where the flow says so.',
    example: 'approved',
  })
  decision: (typeof DECISIONS)[number]

  @StringField({ description: 'Why.', example: 'Checked with the customer.', optional: true, maxLength: 10_000 })
  note?: string
}

export function toAcceptedPlay(run: AcceptedRun): Flow8AcceptedPlay {
  return { playId: run.id, state: toState[run.state](), startedAt: run.createdAt.toISOString() }
}

/** The key in the body counts before the header's. */
export function toStart({ idempotencyKey, force }: Flow8RunRequest, key: string | undefined): StartOptions {
  return { idempotencyKey: idempotencyKey ?? key, force }
}

export function toFilter({ flowId, state, awaiting }: Flow8PlaysQuery): SharedRunFilter {
  return { flowId, awaitsCaller: awaiting === 'me', ...(state && statesOf[state]) }
}

export function toVerdict({ layerId, decision, note }: Flow8Approval): Verdict {
  return { node: layerId, approved: decision === 'approved', note }
}

export function toPlaySummary(run: Standing<RunSummary>): Flow8PlaySummary {
  return {
    id: run.id,
    flowId: run.flowId,
    state: toState[run.state](run.waitsFor),
    startedAt: run.createdAt.toISOString(),
    completedAt: run.finishedAt?.toISOString() ?? null,
    duration: run.finishedAt ? run.finishedAt.getTime() - run.createdAt.getTime() : null,
    error: run.error
      ? { message: run.error.message ?? '', code: run.error.code ?? null, ref: run.error.node ?? null }
      : null,
  }
}

export function toPlay(run: Standing<Run>): Flow8Play {
  return { ...toPlaySummary(run), args: asObject(run.input), out: run.result ?? null }
}

export function toPlayList(page: Page<Standing<RunSummary>>, query: Flow8PlaysQuery): Flow8PlayList {
  return pageOf(page.items.map(toPlaySummary), page.total, query)
}

/** Flows of other APIs may be given what is no object. */
function asObject(input: Json): JsonObject {
  return isJsonObject(input) ? input : { input }
}
