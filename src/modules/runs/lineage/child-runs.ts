import { EventEmitter } from 'node:events'
import { Inject, Injectable, Optional } from '@nestjs/common'
import type { StepPlace } from '../../../engine/host.js'
import type { ChildEnd, ChildRequest, ChildStart } from '../../../engine/step.js'
import { CLOCK, type Clock } from '../../../platform/clock/clock.js'
import { BatchedReads } from '../../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../../platform/database/sql.js'
import { DomainError } from '../../../platform/errors/domain-error.js'
import { newId } from '../../../platform/ids.js'
import { RevisionUnusable } from '../../flows/flows.errors.js'
import { FlowsService } from '../../flows/flows.service.js'
import { placementOf, type RunPlacement } from '../dispatch/run-placement.js'
import { Turns } from '../host/turns.js'
import type { Writer } from '../journal/records.js'
import type { RunState } from '../run-state.js'
import { LeaseLost } from '../runs.errors.js'
import { RunsQueries } from '../runs.queries.js'
import { RunValues, type ValueTexts } from '../values/run-values.js'
import type { TakenRun } from '../worker/taken-run.js'
import { type EarlierRun, StartingPoints } from './starting-points.js'

/** A chain of flows that start each other is no longer than this. */
export const MOST_DEPTH = 16
/** Runs below others that an account may have at the same time: what a flow that starts itself for each item would else be without. */
const MOST_LIVE = 10_000
/**
 * The part of the pool's connections that starts of children may hold. A batch of batches has a million of them, and what others ask of
 * the database may wait behind a few, not behind all.
 */
const SHARE = { all: 1, ofOneAccount: 0.8 }
const NEVER = new AbortController().signal

/** A run below another, as the other knows it. */
export interface Child {
  id: string
  path: string
  attempt: number
  state: RunState
}

/** The child of an attempt, and whether it was made just now. */
export type StartedChild = { id: string; isNew: boolean; tag: string }
type Refused = Extract<ChildStart, { refusal: unknown }>

/** Runs that steps of other runs start. A child is a row like any run; what ties it to its parent is done by the database. */
@Injectable()
export class ChildRuns {
  private readonly states: BatchedReads<{ key: string; state: RunState; created_at: Date }>
  private readonly endings = new EventEmitter().setMaxListeners(0)
  private readonly turns: Turns

  constructor(
    private readonly sql: Sql,
    private readonly flows: FlowsService,
    private readonly queries: RunsQueries,
    private readonly startingPoints: StartingPoints,
    @Inject(CLOCK) private readonly clock: Clock,
    @Optional() private readonly values?: RunValues,
  ) {
    this.states = new BatchedReads(sql, STATES)
    this.turns = Turns.share(sql.size, SHARE.all, SHARE.ofOneAccount)
  }

  /** Children of attempts that left no outcome yet. */
  async unsettled(parentId: string): Promise<Child[]> {
    return await this.sql.query<{ id: string; path: string; attempt: number; state: RunState }>(UNSETTLED, [parentId])
  }

  /** The child of this attempt, which is started unless it was before. Throws `LeaseLost` when the parent is not the writer's any more. */
  async start(
    parent: TakenRun,
    owner: Writer,
    request: ChildRequest & StepPlace,
    signal = NEVER,
  ): Promise<StartedChild | Refused> {
    if ((parent.depth ?? 0) >= MOST_DEPTH)
      return refusal('subflow_depth', `flows may start each other at most ${MOST_DEPTH} deep`)
    return await this.turns.take(parent.accountId, signal, () => this.startNow(parent, owner, request))
  }

  private async startNow(
    parent: TakenRun,
    owner: Writer,
    request: ChildRequest & StepPlace,
  ): Promise<StartedChild | Refused> {
    try {
      const before = await this.before(parent, request)
      if (before && !request.awaited) return { id: before.id, isNew: false, tag: '' }
      const earlier = before && (await this.startingPoints.earlier(parent.accountId, before.id))
      const { input, ...child } = earlier
        ? await this.continuation(earlier, request)
        : await this.current(parent, request)
      const [row] = await this.sql.query<{ answer: StartAnswer }>(START, [
        owner.id,
        parent.epoch,
        MOST_LIVE,
        JSON.stringify({
          id: newId('run'),
          parent_run_id: parent.id,
          parent_path: request.path,
          parent_attempt: request.attempt,
          awaited: request.awaited,
          created_at: this.clock.now(),
          ...child,
        }),
        input,
      ])
      const answer = row?.answer ?? {}
      if (answer.lost) throw new LeaseLost()
      if (answer.too_many)
        return refusal('subflow_limit', `more than ${MOST_LIVE} runs of flows started by flows are under way`, true)
      return { id: answer.id ?? '', isNew: answer.made ?? false, tag: child.tag ?? 'default' }
    } catch (error) {
      if (error instanceof RevisionUnusable) return refusal('subflow_unusable', error.message)
      if (error instanceof DomainError) return refusal('subflow_missing', error.faults[0]?.detail ?? error.message)
      throw error
    }
  }

  /** How a run stands, and since when it is there; undefined when there is no such run. */
  async state(id: string): Promise<{ state: RunState; created_at: Date } | undefined> {
    const [row] = await this.states.rowsOf(id)
    return row
  }

  /** Milliseconds; less than nothing when it has passed. */
  timeUntil(deadline: Date): number {
    return deadline.getTime() - this.clock.now().getTime()
  }

  /** How a child that has ended did so. */
  async end(parent: TakenRun, id: string): Promise<ChildEnd> {
    const run = await this.queries.find(parent.accountId, id)
    if (run?.state === 'completed') return { state: 'completed', result: run.result ?? {} }
    if (run?.state === 'failed') {
      const { message = 'it failed', code, node } = run.error ?? {}
      return { state: 'failed', error: { message, code, node } }
    }
    return { state: 'cancelled' }
  }

  /** Cancels the children that a failed attempt waited for. Returns the runs that this ended. */
  async forsake({ id, accountId }: TakenRun, { path, attempt }: StepPlace): Promise<string[]> {
    const values = [id, path, attempt, this.clock.now()]
    const rows = await this.turns.take(accountId, NEVER, () => this.sql.query<{ id: string }>(FORSAKE, values))
    return rows.map((row) => row.id)
  }

  /** A run of this process has ended: whoever waits for it here need not look for that. */
  ended(id: string): void {
    this.endings.emit(id)
  }

  /** Resolves when this process hears of the run's end, or after a while. */
  async endOrTimeout(id: string, ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    await new Promise<void>((resolve) => {
      const over = () => {
        clearTimeout(timeout)
        this.endings.off(id, over)
        signal.removeEventListener('abort', over)
        resolve()
      }
      const timeout = setTimeout(over, ms)
      this.endings.on(id, over)
      signal.addEventListener('abort', over, { once: true })
    })
    signal.throwIfAborted()
  }

  private async current(parent: TakenRun, { flowId, version, input }: ChildRequest) {
    const { revision } = await this.flows.runnable(parent, flowId, { version })
    const { settings } = await this.flows.graph(flowId, revision)
    const whole: ValueTexts = { input: JSON.stringify(input) }
    const texts = (await this.values?.spilled(parent.tenantId, whole)) ?? whole
    return {
      flow_id: flowId,
      revision,
      // The column is never empty, even where the value is elsewhere.
      input: texts.input ?? 'null',
      input_ref: texts.input_ref,
      ...placed(placementOf(flowId, settings, input)),
    }
  }

  /**
   * The child that the step had in the run that its run goes on from, where that was resumed: the step repeats, so its child goes on as
   * well, under the keys that it had. One that was not waited for stands for itself.
   */
  private async before(parent: TakenRun, { path, flowId, awaited }: StepPlace & ChildRequest) {
    if (parent.keyBase === undefined || parent.resumedFrom === undefined) return undefined
    const [child] = await this.sql.query<{ id: string }>(BEFORE, [parent.resumedFrom, path, flowId, awaited])
    return child
  }

  private async continuation(earlier: EarlierRun, { flowId }: ChildRequest) {
    const { visits, goesOnAt } = await this.startingPoints.ofFailure(earlier)
    return {
      flow_id: flowId,
      revision: earlier.revision,
      input: JSON.stringify(earlier.input),
      input_ref: earlier.inputRef,
      ...placed(earlier.placement),
      resumed_from: earlier.id,
      key_base: earlier.keyBase ?? earlier.id,
      visits,
      goes_on_at: goesOnAt,
    }
  }
}

interface StartAnswer {
  id?: string
  made?: boolean
  lost?: boolean
  too_many?: boolean
}

function placed({ priority, tag, concurrency }: RunPlacement) {
  return { priority, tag, concurrency_key: concurrency?.key, concurrency_limit: concurrency?.limit }
}

function refusal(code: string, message: string, retryable = false): Refused {
  return { refusal: { code, message, retryable } }
}

const STATES: Statement = {
  name: 'run_states',
  text: 'select id as key, state, created_at from run where id = any ($1::text[])',
}

const UNSETTLED: Statement = {
  name: 'run_children_unsettled',
  text: `select id, parent_path as path, parent_attempt as attempt, state from run c
    where parent_run_id = $1 and not exists (
      select from step_outcome o where o.run_id = $1 and o.path = c.parent_path and o.attempt = c.parent_attempt)`,
}

const START: Statement = { name: 'run_start_child', text: 'select run_start_child($1, $2, $3, $4, $5) as answer' }

const FORSAKE: Statement = { name: 'run_forsake', text: 'select id from run_forsake($1, $2, $3, $4) as ended (id)' }

/** The last attempt's of the last run in which the step started any; not one that somebody has resumed by itself. */
const BEFORE: Statement = {
  name: 'run_child_before',
  text: `with recursive line (id, place) as (
      select $1::text collate "C", 1
      union all
      select r.resumed_from, line.place + 1 from line join run r on r.id = line.id where r.key_base is not null)
    select c.id from line join run c on c.parent_run_id = line.id
    where c.parent_path = $2 and c.flow_id = $3 and c.awaited = $4
      and (not c.awaited or c.state in ('completed', 'failed', 'cancelled'))
      and not exists (select from run r where r.resumed_from = c.id and r.key_base is not null)
    order by line.place, c.parent_attempt desc limit 1`,
}
