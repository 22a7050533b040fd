import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import type { LogLevel } from '../../engine/step.js'
import type { Principal } from '../../platform/auth/principal.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { crashPoint } from '../../platform/crash-point/crash-point.js'
import { newId } from '../../platform/ids.js'
import type { Json } from '../../platform/json.js'
import { type AuditActor, AuditTrail } from '../audit/audit-trail.js'
import { FlowsService } from '../flows/flows.service.js'
import { placementIn } from './dispatch/run-placement.js'
import { AccountRuns } from './events/account-runs.js'
import { type RunEnd, RunEvents } from './events/run-events.js'
import type { RunTrigger } from './journal/records.js'
import { retriedOnDeadlock } from './lineage/deadlocks.js'
import { LineageQueries } from './lineage/lineage.queries.js'
import { requestHashOf } from './request-hash.js'
import { RunEngine } from './run-engine.js'
import type { RunState } from './run-state.js'
import { IdempotencyKeyReused, RunAlreadyFinished, RunNotFound } from './runs.errors.js'
import { type LogEntry, type Page, type Run, type RunFilter, type RunSummary, RunsQueries } from './runs.queries.js'
import { type Delivery, SignalsService } from './signals.service.js'

export interface AcceptedRun {
  id: string
  flowId: string
  state: RunState
  createdAt: Date
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

  async logs(
    caller: Principal,
    id: string,
    level: LogLevel | undefined,
    limit: number,
    offset: number,
  ): Promise<Page<LogEntry>> {
    await this.summary(caller, id)
    await this.engine.writeEventsOf(id)
    return await this.queries.logs(id, level, limit, offset)
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

  private async begin(owner: RunOwner, start: Start): Promise<AcceptedRun> {
    const { flowId, input, trigger, actor, idempotencyKey, sameRequest = input, force } = start
    const flow = await this.flows.runnable(owner, flowId, { force })
    const requestHash = idempotencyKey === undefined ? undefined : requestHashOf(sameRequest)
    const id = newId('run')
    const accepted = await this.engine.accept({
      id,
      tenantId: owner.tenantId,
      accountId: owner.accountId,
      flowId,
      revision: flow.revision,
      trigger,
      input,
      ...(await placementIn(this.flows, flowId, flow.revision, input)),
      idempotencyKey,
      requestHash,
      createdAt: this.clock.now(),
      audit: this.audit.note(actor, {
        action: 'run.start',
        resource: ['run', id],
        after: { flowId, revision: flow.revision },
      }),
    })
    if (accepted.state) {
      const { state, createdAt } = accepted
      this.accountRuns.accepted({ id, accountId: owner.accountId, flowId, revision: flow.revision, createdAt })
      return { id, flowId, state, createdAt }
    }
    if (accepted.requestHash !== requestHash) throw new IdempotencyKeyReused()
    return await this.summary(owner, accepted.id)
  }
}
