import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager } from 'typeorm'
import { nodeNamed } from '../../../engine/graph.js'
import type { Visit } from '../../../engine/walk.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { CLOCK, type Clock } from '../../../platform/clock/clock.js'
import { DomainError } from '../../../platform/errors/domain-error.js'
import { newId } from '../../../platform/ids.js'
import type { JsonObject } from '../../../platform/json.js'
import { AuditTrail } from '../../audit/audit-trail.js'
import { FlowNotFound, RevisionUnusable } from '../../flows/flows.errors.js'
import { FlowsService } from '../../flows/flows.service.js'
import { SealedRunSecrets } from '../../secrets/run-secrets.js'
import { placementOf, type RunPlacement } from '../dispatch/run-placement.js'
import { RunEvents } from '../events/run-events.js'
import { requestHashOf } from '../request-hash.js'
import { RunEngine } from '../run-engine.js'
import { isFinal } from '../run-state.js'
import { IdempotencyKeyReused, RunNotFound } from '../runs.errors.js'
import type { AcceptedRun } from '../runs.service.js'
import { fullValue, RunValues } from '../values/run-values.js'
import { type AskedOfJob, JobRestarts } from './job-restarts.js'
import { CannotStartAgain, ReplayRefused } from './lineage.errors.js'
import { type EarlierRun, type StartingPoint, StartingPoints } from './starting-points.js'

export interface Replay {
  /** The node whose first visit, and all after it, is done anew; without it and `path` everything is. */
  node?: string
  /** The same for one visit, such as `fetch#2`. */
  path?: string
  /** The label of the revision to run; absent means the earlier run's own. */
  version?: string
  /** Instead of the earlier run's, where everything is done anew. */
  input?: JsonObject
  /** Values of a job's arguments that are secrets: they ended with the earlier run. */
  secrets?: JsonObject
}

export interface Redriven {
  redriven: { id: string; as: string }[]
  /** Those that could not be, and why. */
  skipped: { id: string; reason: string }[]
}

interface Restart {
  trigger: 'resume' | 'replay' | 'redrive'
  revision: number
  point: StartingPoint
  placement: RunPlacement
  /** The run whose id stands in the keys of steps; absent means the new one's own. */
  keyBase?: string
  input?: JsonObject
  secrets?: Readonly<Record<string, string>>
  idempotencyKey?: string
  requestHash?: string
}

/** What a run is to be started as. */
interface Startable extends Pick<Restart, 'revision' | 'input' | 'secrets'> {
  isJob?: true
}

/**
 * Runs that start again from what earlier ones have done. The earlier run stays as it ended; the new one is given outcomes of it in the
 * transaction that makes it.
 */
@Injectable()
export class RestartsService {
  constructor(
    private readonly startingPoints: StartingPoints,
    private readonly flows: FlowsService,
    private readonly values: RunValues,
    private readonly jobs: JobRestarts,
    private readonly runSecrets: SealedRunSecrets,
    private readonly events: RunEvents,
    private readonly engine: RunEngine,
    private readonly audit: AuditTrail,
    @InjectDataSource() private readonly database: DataSource,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Goes on where a run failed or was cancelled, under the same keys. A run is resumed once; after that the newer one is. */
  async resume(
    caller: Principal,
    id: string,
    { secrets }: Pick<Replay, 'secrets'> = {},
    idempotencyKey?: string,
  ): Promise<AcceptedRun> {
    return await this.goOn(caller, id, 'resume', { secrets, idempotencyKey })
  }

  /** Does a run's way again from one of its steps on, with keys of its own. */
  async replay(caller: Principal, id: string, replay: Replay, idempotencyKey?: string): Promise<AcceptedRun> {
    const earlier = await this.ended(caller, id)
    const walk = await this.walk(earlier)
    const place = placeIn(walk, replay)
    const visits = walk.slice(0, place)
    if (place > 0 && replay.input)
      throw new ReplayRefused(
        'input',
        'not_allowed',
        'Input may change only where the replay starts from the beginning',
      )
    const startable = await this.startable(caller, earlier, replay)
    const { revision, input, secrets } = startable
    if (revision !== earlier.revision) await this.checkFit(earlier, revision, walk.slice(0, place + 1), replay.version)
    const point = { visits: visits.map(({ path }) => path) }
    if (startable.isJob) await this.jobs.requireWork(earlier, point.visits)
    return await this.start(caller, earlier, {
      trigger: 'replay',
      revision,
      point,
      placement: await this.placement(earlier, revision, input),
      input,
      secrets,
      idempotencyKey,
      requestHash: idempotencyKey && requestHashOf({ replay: id, ...replay, ...this.asKept(startable, replay) }),
    })
  }

  /** Resumes dead letters: those named, else the oldest. */
  async redrive(caller: Principal, filter: { ids?: string[]; flowId?: string; limit: number }): Promise<Redriven> {
    const { ids, flowId, limit } = filter
    const values = [caller.accountId, ids ?? null, flowId ?? null, limit]
    const dead = await this.database.query<{ id: string }[]>(DEAD, values)
    const found = new Set(dead.map(({ id }) => id))
    const others = [...new Set(ids)].filter((id) => !found.has(id)).slice(0, limit - found.size)
    const outcome: Redriven = {
      redriven: [],
      skipped: others.map((id) => ({ id, reason: 'It is no dead letter of yours' })),
    }
    for (const id of found) {
      try {
        outcome.redriven.push({ id, as: (await this.goOn(caller, id, 'redrive')).id })
      } catch (error) {
        if (!(error instanceof DomainError)) throw error
        outcome.skipped.push({ id, reason: error.message })
      }
    }
    // Each that was has its own entry; that nothing came of the call is told as well.
    if (outcome.redriven.length === 0) {
      const skipped = outcome.skipped.length
      await this.audit.record(this.database.manager, {
        actor: caller,
        action: 'run.redrive',
        resource: ['run'],
        after: { redriven: 0, skipped },
      })
    }
    return outcome
  }

  private async goOn(
    caller: Principal,
    id: string,
    trigger: 'resume' | 'redrive',
    { secrets: given, idempotencyKey }: Pick<Replay, 'secrets'> & { idempotencyKey?: string } = {},
  ): Promise<AcceptedRun> {
    const earlier = await this.ended(caller, id)
    if (earlier.state === 'completed')
      throw new CannotStartAgain(`Run ${id} is completed: there is nothing to resume, but it can be replayed`)
    const startable = await this.startable(caller, earlier, { secrets: given })
    const point = await this.usable(() => this.startingPoints.ofFailure(earlier))
    if (startable.isJob) await this.jobs.requireWork(earlier, point.visits)
    const keyBase = earlier.keyBase ?? earlier.id
    const requestHash = idempotencyKey && requestHashOf({ resume: id, ...this.asKept(startable) })
    return await this.start(caller, earlier, {
      trigger,
      revision: earlier.revision,
      point,
      placement: earlier.placement,
      keyBase,
      secrets: startable.secrets,
      idempotencyKey,
      requestHash,
    })
  }

  private async ended(caller: Principal, id: string): Promise<EarlierRun> {
    const earlier = await this.startingPoints.earlier(caller.accountId, id)
    if (!earlier) throw new RunNotFound(id)
    if (!isFinal(earlier.state)) throw new CannotStartAgain(`Run ${id} has not ended yet`)
    return earlier
  }

  private walk(earlier: EarlierRun): Promise<Visit[]> {
    return this.usable(() => this.startingPoints.walk(earlier))
  }

  private async usable<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw error instanceof RevisionUnusable
        ? new CannotStartAgain(`Run of a definition that is not valid any more: ${error.message}`)
        : error
    }
  }

  private async startable(caller: Principal, earlier: EarlierRun, asked: AskedOfJob): Promise<Startable> {
    const { version, input } = asked
    const job = await this.jobs.prepared(caller, earlier, asked)
    if (job) {
      const { revision, args, secrets } = job
      const isOther = input !== undefined || revision !== earlier.revision
      return { revision, input: isOther ? args : undefined, secrets, isJob: true }
    }
    if (asked.secrets && Object.keys(asked.secrets).length > 0)
      throw new ReplayRefused('secrets', 'not_allowed', 'Only jobs have arguments that are secrets')
    return { revision: await this.revision(caller, earlier, version), input }
  }

  /** A request of which nothing secret is told, for what tells whether two are the same. */
  private asKept({ isJob, input, secrets = {} }: Startable, replay: Replay = {}): object {
    if (!isJob) return {}
    return { ...(replay.input && { input }), secrets: this.runSecrets.marksOf(secrets) }
  }

  /** The revision to run. A flow that was deleted is started no more, not even at a revision of before. */
  private async revision(caller: Principal, { flowId, revision, id }: EarlierRun, version?: string): Promise<number> {
    try {
      const asked = await this.flows.runnable(caller, flowId, { version, force: true })
      return version === undefined ? revision : asked.revision
    } catch (error) {
      if (!(error instanceof FlowNotFound)) throw error
      throw new CannotStartAgain(`Run ${id} is of a flow that was deleted`)
    }
  }

  /** Outcomes are carried over by path, so each node on the way has to be there still, and be of the same type. */
  private async checkFit(
    earlier: EarlierRun,
    revision: number,
    walk: readonly Visit[],
    version = 'latest',
  ): Promise<void> {
    const graph = await this.usable(() => this.flows.graph(earlier.flowId, revision))
    const faults = walk.flatMap(({ path, node, nodeType }) => {
      const type = nodeNamed(graph, node)?.type
      if (type === undefined) return [`'${path}' cannot be carried over: version '${version}' has no node '${node}'`]
      if (type === nodeType) return []
      return [`'${path}' cannot be carried over: node '${node}' was ${nodeType} and is ${type} in version '${version}'`]
    })
    if (faults.length > 0) throw new ReplayRefused('version', 'node_changed', ...faults.slice(0, 100))
  }

  private async placement(earlier: EarlierRun, revision: number, input?: JsonObject): Promise<RunPlacement> {
    const { flowId, tenantId, inputRef = null } = earlier
    if (revision === earlier.revision && input === undefined) return earlier.placement
    const { settings } = await this.usable(() => this.flows.graph(flowId, revision))
    return placementOf(flowId, settings, input ?? (await fullValue(this.values, tenantId, earlier.input, inputRef)))
  }

  private async start(caller: Principal, earlier: EarlierRun, restart: Restart): Promise<AcceptedRun> {
    const id = newId('run')
    await this.runSecrets.keep({ id, tenantId: caller.tenantId }, restart.secrets ?? {})
    let isTaken = false
    try {
      const made = await this.database.transaction((tx) => this.insert(tx, caller, earlier, id, restart))
      const { isNew, ...started } = made
      isTaken = isNew
      if (!isNew) return started
      this.engine.queued({ id, trigger: restart.trigger })
      this.events.accounts.changed(caller.accountId)
      return started
    } finally {
      if (!isTaken && restart.secrets) await this.runSecrets.forget(id)
    }
  }

  private async insert(
    tx: EntityManager,
    caller: Principal,
    { id: earlierId, flowId }: EarlierRun,
    id: string,
    { trigger, revision, point, placement, keyBase, input, idempotencyKey, requestHash }: Restart,
  ): Promise<AcceptedRun & { isNew: boolean }> {
    const createdAt = this.clock.now()
    const made = await tx.query<unknown[]>(INSERT, [
      id,
      earlierId,
      revision,
      trigger,
      input && JSON.stringify(input),
      keyBase,
      idempotencyKey,
      requestHash,
      createdAt,
      placement.priority ?? 0,
      placement.tag ?? 'default',
      placement.concurrency?.key,
      placement.concurrency?.limit,
    ])
    if (made.length === 0)
      return { ...(await this.known(tx, earlierId, flowId, idempotencyKey, requestHash)), isNew: false }
    await tx.query(CARRY_OVER, [earlierId, id, point.visits, point.goesOnAt])
    await tx.query(TAKEN_CARE_OF, [earlierId])
    await tx.query(ADMIT, [id, createdAt])
    await this.audit.record(tx, {
      actor: caller,
      action: `run.${trigger}`,
      resource: ['run', id],
      after: { from: earlierId, flowId, revision },
    })
    await tx.query(TELL_CREATED, [[id]])
    return { id, flowId, state: 'queued', createdAt, isNew: true }
  }

  /** The run that stands in the way of another one: made by the same request before, or the one that resumed this run. */
  private async known(
    tx: EntityManager,
    earlierId: string,
    flowId: string,
    idempotencyKey?: string,
    requestHash?: string,
  ): Promise<AcceptedRun> {
    const [same] = await tx.query<KnownRow[]>(BY_KEY, [flowId, idempotencyKey])
    if (same && same.request_hash !== requestHash) throw new IdempotencyKeyReused()
    if (same) return { id: same.id, flowId, state: same.state, createdAt: same.created_at }
    const [newer] = await tx.query<{ id: string }[]>(RESUMED_AS, [earlierId])
    throw new CannotStartAgain(`Run ${earlierId} was resumed already, as ${newer?.id}`)
  }
}

/** Where on the way the replay begins. */
function placeIn(walk: readonly Visit[], { node, path }: Replay): number {
  if (node === undefined && path === undefined) return 0
  if (node !== undefined && path !== undefined)
    throw new ReplayRefused('from_path', 'not_allowed', 'A replay starts from a node or from a path, not from both')
  const place = walk.findIndex((visit) => visit.node === node || visit.path === path)
  if (place >= 0) return place
  const member = node === undefined ? 'from_path' : 'from_node'
  throw new ReplayRefused(member, 'not_reached', `'${node ?? path}' was not reached`)
}

interface KnownRow {
  id: string
  state: AcceptedRun['state']
  request_hash: string | null
  created_at: Date
}

const INSERT = `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, start_node, input, input_ref, wake_at,
      priority, tag, concurrency_key, concurrency_limit, resumed_from, key_base, idempotency_key, request_hash, created_at)
    select $1, tenant_id, account_id, flow_id, $3::integer, 'queued', $4, start_node, coalesce($5::json, input),
      case when $5::json is null then input_ref end, case when $12::text is null then $9::timestamptz end,
      $10, $11, $12, $13, id, $6, $7, $8, $9
    from run where id = $2
    on conflict do nothing
    returning id`

const CARRY_OVER = 'select run_carry_over($1, $2, $3, $4)'

const TELL_CREATED = 'select run_tell_created($1)'

const TAKEN_CARE_OF = 'update run set dead = false where id = $1 and dead'

const ADMIT = `select run_admit(array[account_id], array[concurrency_key], $2) from run
    where id = $1 and concurrency_key is not null`

const BY_KEY = 'select id, state, request_hash, created_at from run where flow_id = $1 and idempotency_key = $2'

const RESUMED_AS = 'select id from run where resumed_from = $1 and key_base is not null'

const DEAD = `select id from run
    where account_id = $1 and dead and ($2::text[] is null or id = any ($2)) and ($3::text is null or flow_id = $3)
    order by id limit $4`
