import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import type { Principal } from '../../platform/auth/principal.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { crashPoint } from '../../platform/crash-point/crash-point.js'
import { newId } from '../../platform/ids.js'
import type { Json, JsonObject } from '../../platform/json.js'
import { type AuditActor, AuditTrail } from '../audit/audit-trail.js'
import { FlowsService } from '../flows/flows.service.js'
import { SealedRunSecrets } from '../secrets/run-secrets.js'
import { placementIn } from './dispatch/run-placement.js'
import { AccountRuns } from './events/account-runs.js'
import { type BriefEvent, type RunEnd, RunEvents } from './events/run-events.js'
import { InvalidCursor } from './feed/feed.errors.js'
import type { NewRun, RunTrigger } from './journal/records.js'
import { retriedOnDeadlock } from './lineage/deadlocks.js'
import { LineageQueries } from './lineage/lineage.queries.js'
import { requestHashOf } from './request-hash.js'
import { RunEngine } from './run-engine.js'
import type { RunState } from './run-state.js'
import { IdempotencyKeyReused, RunAlreadyFinished, RunNotFound } from './runs.errors.js'
import {
  type LogEntry,
  type LogFilter,
  type Page,
  type Run,
  type RunFilter,
  type RunSummary,
  RunsQueries,
} from './runs.queries.js'
import { type Delivery, SignalsService } from './signals.service.js'

export interface AcceptedRun {
  id: string
  flowId: string
  state: RunState
  createdAt: Date
  /** True where the same request was accepted before. */
  isRepeated?: boolean
}

/** Whose a run is. */
export type RunOwner = Pick<Principal, 'tenantId' | 'accountId'>

/** How a run is started, beside its input. */
export interface StartOptions {
  idempotencyKey?: string
  /** Whether a flow that is disabled will do. */
  force?: boolean
}

/** A run that is to start on behalf of its account. */
export interface StartFor extends Pick<StartOptions, 'idempotencyKey'> {
  trigger: RunTrigger
  /** What starts it, such as a channel by its id. */
  actorId: string
  flowId: string
  input: Json
  /** What has to be the same where the key is; the input unless said. */
  sameRequest?: Json
}

/** A run of a job, as it was prepared: the job is nobody's, and the run its starter's. */
export interface PreparedJob {
  flowId: string
  revision: number
  args: JsonObject
  /** What `[secret]` stands for in the arguments. */
  secrets: Readonly<Record<string, string>>
}

interface Start extends Omit<StartFor, 'actorId'>, StartOptions {
  actor: AuditActor
}

/** Runs as callers see them: started, read, listed, cancelled. A run is its account's own. */
@Injectable()
export class RunsService {
  constructor(
    private readonly flows: FlowsService,
    private readonly engine: RunEngine,
    private readonly queries: RunsQueries,
    private readonly lineage: LineageQueries,
    private readonly signals: SignalsService,
    private readonly events: RunEvents,
    private readonly accountRuns: AccountRuns,
    private readonly secrets: SealedRunSecrets,
    private readonly audit: AuditTrail,
    @InjectDataSource() private readonly database: DataSource,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Durable when it resolves. The same key for the same flow gives the first run again. */
  accept(caller: Principal, flowId: string, input: Json, options: StartOptions = {}): Promise<AcceptedRun> {
    return this.begin(caller, { trigger: 'api', actor: caller, flowId, input, ...options })
  }

  /**
   * Starts a run that its account did not ask for itself, such as a channel's: it is the account's all the same. The audit trail names
   * `actorId`.
   */
  acceptFor(owner: RunOwner, { actorId, ...start }: StartFor): Promise<AcceptedRun> {
    return this.begin(owner, { ...start, actor: { tenantId: owner.tenantId, accountId: actorId } })
  }

  /** Durable when it resolves. The same key of the same account for the same job gives the first run again. */
  async acceptJob(
    caller: Principal,
    { args, secrets, ...job }: PreparedJob,
    { idempotencyKey, sameRequest }: Pick<StartFor, 'idempotencyKey' | 'sameRequest'> = {},
  ): Promise<AcceptedRun> {
    const id = newId('run')
    await this.secrets.keep({ id, tenantId: caller.tenantId }, secrets)
    const start = { trigger: 'api' as const, actor: caller, input: args, sameRequest, id, isTold: true }
    // Many accounts have runs of one job, and keys of their own.
    const key = idempotencyKey === undefined ? undefined : `${caller.accountId} ${idempotencyKey}`
    let accepted: AcceptedRun | undefined
    try {
      accepted = await this.commit(caller, { ...start, ...job, idempotencyKey: key })
      return accepted
    } finally {
      if (accepted?.id !== id) await this.secrets.forget(id)
    }
  }

  /** How a run ends that was started or found before; undefined when `signal` aborts first. Nothing is asked while nothing happens. */
  ended(id: string, signal: AbortSignal): Promise<RunEnd | undefined> {
    return this.events.end(id, signal)
  }

  /** A run without its values. */
  async summary(caller: Pick<RunOwner, 'accountId'>, id: string): Promise<RunSummary> {
    const run = await this.queries.findSummary(caller.accountId, id)
    if (!run) throw new RunNotFound(id)
    return run
  }

  async get(caller: Principal, id: string): Promise<Run> {
    const run = await this.queries.find(caller.accountId, id)
    if (!run) throw new RunNotFound(id)
    return run
  }

  /** Newest first. */
  page(
    caller: Principal,
    filter: Omit<RunFilter, 'accountId'>,
    limit: number,
    offset: number,
  ): Promise<Page<RunSummary>> {
    const { parentId, resumedFrom, isDead } = filter
    const byLineage = parentId !== undefined || resumedFrom !== undefined || isDead !== undefined
    return (byLineage ? this.lineage : this.queries).page({ ...filter, accountId: caller.accountId }, limit, offset)
  }

  async logs(caller: Principal, id: string, filter: LogFilter, limit: number, offset: number): Promise<Page<LogEntry>> {
    await this.summary(caller, id)
    await this.engine.writeEventsOf(id)
    return await this.queries.logs(id, filter, limit, offset)
  }

  /** The events of a run that was found before, behind one of them, until its end was told; without what was put out. */
  follow(id: string, after: number, signal: AbortSignal): AsyncGenerator<BriefEvent> {
    return this.events.followBriefly(id, after, signal)
  }

  /** The event to go on behind, by the id that was received last; throws where the run has none like it. */
  async seqBehind(id: string, lastId: string | undefined): Promise<number> {
    if (lastId === undefined) return 0
    const seq = /^\d{1,9}$/.test(lastId) ? Number(lastId) : Number.NaN
    if (Number.isNaN(seq)) throw new InvalidCursor('A cursor is the id of an event, a whole number')
    if (seq > (await this.queries.lastSeq(id))) throw new InvalidCursor('This cursor is the id of no event yet')
    return seq
  }

  /** Gives a signal to the caller's runs that wait for its key, or keeps it for the next that does. */
  async signal(caller: Principal, key: string, data: Json): Promise<Delivery> {
    const delivery = await this.signals.deliver(caller, key, data, this.clock.now())
    if (delivery.runIds.length > 0) this.engine.due()
    return delivery
  }

  /** Durable first, with all runs below it; then whatever works on them is stopped, in whichever process. */
  async cancel(caller: Principal, id: string): Promise<void> {
    const cancelled = await retriedOnDeadlock(() =>
      this.database.transaction(async (tx) => {
        const ended = await this.queries.cancel(tx, caller.accountId, id, this.clock.now())
        if (ended.length === 0) throw new RunAlreadyFinished(id, (await this.summary(caller, id)).state)
        const below = ended.length - 1
        await this.audit.record(tx, {
          actor: caller,
          action: 'run.cancel',
          resource: ['run', id],
          ...(below > 0 && { after: { below } }),
        })
        return ended
      }),
    )
    crashPoint('cancel')
    await this.engine.cancelled(cancelled)
    this.events.accounts.changed(caller.accountId)
  }

  private async begin(owner: RunOwner, { force, ...start }: Start): Promise<AcceptedRun> {
    const { revision } = await this.flows.runnable(owner, start.flowId, { force })
    return await this.commit(owner, { ...start, revision, id: newId('run') })
  }

  private async commit(
    owner: RunOwner,
    start: Omit<Start, 'force'> & Pick<NewRun, 'id' | 'revision' | 'isTold'>,
  ): Promise<AcceptedRun> {
    const { id, flowId, revision, input, trigger, actor, idempotencyKey, sameRequest = input, isTold } = start
    const requestHash = idempotencyKey === undefined ? undefined : requestHashOf(sameRequest)
    const accepted = await this.engine.accept({
      id,
      tenantId: owner.tenantId,
      accountId: owner.accountId,
      flowId,
      revision,
      trigger,
      input,
      ...(await placementIn(this.flows, flowId, revision, input)),
      idempotencyKey,
      requestHash,
      isTold,
      createdAt: this.clock.now(),
      audit: this.audit.note(actor, {
        action: 'run.start',
        resource: ['run', id],
        after: { flowId, revision },
      }),
    })
    if (accepted.state) {
      const { state, createdAt } = accepted
      this.accountRuns.accepted({ id, accountId: owner.accountId, flowId, revision, createdAt })
      if (isTold) this.events.accounts.changed(owner.accountId)
      return { id, flowId, state, createdAt }
    }
    if (accepted.requestHash !== requestHash) throw new IdempotencyKeyReused()
    return { ...(await this.summary(owner, accepted.id)), isRepeated: true }
  }
}
