import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager, In, IsNull } from 'typeorm'
import { type StepTypes, stepTypesOf } from '../../definitions/flowrunner/index.js'
import type { Graph } from '../../engine/graph.js'
import { StepRegistry } from '../../engine/step.js'
import type { Principal } from '../../platform/auth/principal.js'
import { CLOCK, type Clock, changeTime } from '../../platform/clock/clock.js'
import { BatchedReads } from '../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { unlessTaken } from '../../platform/database/unless-taken.js'
import { ValidationFailed } from '../../platform/http/faults.js'
import { type Expected, requireMatch } from '../../platform/http/headers.js'
import { newId } from '../../platform/ids.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { type CompiledFlow, CompiledFlows } from './compiled-flows.js'
import { Flow } from './flow.entity.js'
import { LANGUAGES } from './flow-languages.js'
import { type FlowLanguage, FlowRevision } from './flow-revision.entity.js'
import { FlowDisabled, FlowNotFound, FlowVersionNotFound, PermanentIdTaken } from './flows.errors.js'
import { permanentIdOf } from './permanent-id.js'

export interface NewFlow extends Partial<FlowTraits> {
  name: string
  description?: string
  definition: string
  /** FlowRunner's YAML unless said. */
  language?: FlowLanguage
  tags?: string[]
  permanentId?: string
}

/** What is known of a flow beside its definition. */
export type FlowTraits = Pick<Flow, 'enabled' | 'category' | 'groupId' | 'kvInherit' | 'kvConflict'>

export type FlowChange = Partial<NewFlow>

/** A flow with its current definition. */
export interface FlowWithDefinition {
  flow: Flow
  definition: string
  language: FlowLanguage
}

export interface FlowFilter {
  tag?: string
  category?: string
  enabled?: boolean
  groupId?: string
}

export interface FlowPage {
  flows: Flow[]
  total: number
}

/** What starting a run needs of a flow. */
export interface RunnableFlow {
  id: string
  revision: number
}

export interface RunnableOptions {
  /** The label of a revision; the current one where absent. */
  version?: string
  /** Whether a flow that is disabled will do. */
  force?: boolean
}

/** A definition that can be run, and what it says of itself. */
interface CheckedDefinition {
  definition: string
  language: FlowLanguage
  compiled: CompiledFlow
  description?: string
  version?: string
}

const RUNNABLE: Statement = {
  name: 'flow_runnable',
  text: 'select id as key, account_id as "accountId", revision, enabled from flow where id = any ($1::text[]) and deleted_at is null',
}

const LABELLED: Statement = {
  name: 'flow_revision_labelled',
  text: 'select number from flow_revision where flow_id = $1 and version = $2 order by number desc limit 1',
}

/** Flows and their revisions. A flow is its account's own: to everyone else it does not exist. */
@Injectable()
export class FlowsService {
  private readonly types: StepTypes
  private readonly compiled: CompiledFlows
  private readonly runnables: BatchedReads<{ key: string; accountId: string; revision: number; enabled: boolean }>

  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly sql: Sql,
    registry: StepRegistry,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.types = stepTypesOf(registry)
    this.compiled = new CompiledFlows(sql, (language, definition) => LANGUAGES[language].read(definition, this.types))
    this.runnables = new BatchedReads(sql, RUNNABLE)
  }

  async page(caller: Principal, query: FlowFilter & { limit: number; offset: number }): Promise<FlowPage> {
    const select = this.database
      .getRepository(Flow)
      .createQueryBuilder('flow')
      .where('flow.accountId = :accountId and flow.deletedAt is null', { accountId: caller.accountId })
      .orderBy('flow.id')
      .offset(query.offset)
      .limit(query.limit)
    const { tag, category, enabled, groupId } = query
    if (tag !== undefined) select.andWhere('flow.tags @> array[:tag]', { tag })
    if (category !== undefined) select.andWhere('flow.category = :category', { category })
    if (enabled !== undefined) select.andWhere('flow.enabled = :enabled', { enabled })
    if (groupId !== undefined) select.andWhere('flow.groupId = :groupId', { groupId })
    const [flows, total] = await select.getManyAndCount()
    return { flows, total }
  }

  getWithDefinition(caller: Principal, id: string): Promise<FlowWithDefinition> {
    return this.findWithDefinition(this.database.manager, caller, id)
  }

  async create(caller: Principal, input: NewFlow): Promise<Flow> {
    const { definition, language = 'flowrunner' } = input
    const read = this.check(definition, language)
    const now = this.clock.now()
    const id = newId('flow')
    const flow: Flow = {
      id,
      tenantId: caller.tenantId,
      accountId: caller.accountId,
      name: input.name,
      description: input.description ?? read.description ?? '',
      version: read.version ?? 'v1',
      tags: input.tags ?? [],
      revision: 1,
      changes: 1,
      enabled: input.enabled ?? true,
      category: input.category ?? '',
      groupId: input.groupId ?? null,
      permanentId: input.permanentId ?? permanentIdOf(input.name, id),
      kvInherit: input.kvInherit ?? true,
      kvConflict: input.kvConflict ?? 'child',
      createdAt: now,
      updatedAt: now,
      deletedAt: null,
    }
    await this.database.transaction(async (tx) => {
      await checkGroup(tx, flow)
      await unlessTaken(tx.insert(Flow, flow), 'flow_permanent_id', () => new PermanentIdTaken(flow.permanentId))
      await this.addRevision(tx, caller, flow, { definition, language })
      await this.audit.record(tx, {
        actor: caller,
        action: 'flow.create',
        resource: ['flow', flow.id],
        after: audited(flow),
      })
    })
    this.compiled.put(flow.id, flow.revision, definition, read.compiled)
    return flow
  }

  /**
   * Members left out stay. A definition that differs from the current one becomes the next revision. A change may be made of what the flow is
   * at that moment, which nobody else changes meanwhile.
   */
  async update(
    caller: Principal,
    id: string,
    asked: FlowChange | ((current: FlowWithDefinition) => FlowChange),
    expected?: Expected,
  ): Promise<Flow> {
    const early = typeof asked === 'function' ? undefined : this.checkChange(asked)
    const { flow, read } = await this.database.transaction(async (tx) => {
      const flow = await this.find(tx, caller, id, 'lock')
      requireMatch(expected, flow.updatedAt)
      const change = typeof asked === 'function' ? asked(await this.withDefinition(tx, flow)) : asked
      const read = early ?? this.checkChange(change)
      const before = audited(flow)
      Object.assign(flow, {
        name: change.name ?? flow.name,
        description: change.description ?? read?.description ?? flow.description,
        tags: change.tags ?? flow.tags,
        enabled: change.enabled ?? flow.enabled,
        category: change.category ?? flow.category,
        groupId: change.groupId === undefined ? flow.groupId : change.groupId,
        permanentId: change.permanentId ?? flow.permanentId,
        kvInherit: change.kvInherit ?? flow.kvInherit,
        kvConflict: change.kvConflict ?? flow.kvConflict,
        changes: flow.changes + 1,
        updatedAt: changeTime(this.clock.now(), flow.updatedAt),
      })
      if (read) {
        flow.revision += 1
        flow.version = read.version ?? `v${flow.revision}`
        await this.addRevision(tx, caller, flow, read)
      }
      if (change.groupId) await checkGroup(tx, flow)
      await unlessTaken(tx.save(Flow, flow), 'flow_permanent_id', () => new PermanentIdTaken(flow.permanentId))
      await this.audit.record(tx, {
        actor: caller,
        action: 'flow.update',
        resource: ['flow', id],
        before,
        after: audited(flow),
      })
      return { flow, read }
    })
    if (read) this.compiled.put(id, flow.revision, read.definition, read.compiled)
    return flow
  }

  async remove(caller: Principal, id: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      const flow = await this.find(tx, caller, id, 'lock')
      await tx.update(Flow, { id }, { deletedAt: this.clock.now() })
      await this.audit.record(tx, {
        actor: caller,
        action: 'flow.delete',
        resource: ['flow', id],
        before: audited(flow),
      })
    })
  }

  /** The flow and the revision that a run started now is pinned to: the current one, or the one with this label. */
  async runnable(
    caller: { accountId: string },
    id: string,
    { version = 'latest', force = false }: RunnableOptions = {},
  ): Promise<RunnableFlow> {
    const [flow] = await this.runnables.rowsOf(id)
    if (flow?.accountId !== caller.accountId) throw new FlowNotFound(id)
    if (!flow.enabled && !force) throw new FlowDisabled(id)
    if (version === 'latest') return { id, revision: flow.revision }
    const [labelled] = await this.sql.query<{ number: number }>(LABELLED, [id, version])
    if (!labelled) throw new FlowVersionNotFound(id, version)
    return { id, revision: labelled.number }
  }

  /** Those of these flows that are the account's and not deleted. */
  ofAccount(owner: { accountId: string }, ids: readonly string[]): Promise<Flow[]> {
    return this.database.getRepository(Flow).findBy({
      id: In([...new Set(ids)]),
      accountId: owner.accountId,
      deletedAt: IsNull(),
    })
  }

  /** A revision as the engine runs it. Throws `RevisionUnusable` when it can never be run. */
  compiledFlow(flowId: string, revision: number): Promise<CompiledFlow> {
    return this.compiled.get(flowId, revision)
  }

  async graph(flowId: string, revision: number): Promise<Graph> {
    return (await this.compiled.get(flowId, revision)).graph
  }

  private checkChange({ definition, language = 'flowrunner' }: FlowChange): CheckedDefinition | undefined {
    return definition === undefined ? undefined : this.check(definition, language)
  }

  private check(definition: string, language: FlowLanguage): CheckedDefinition {
    const reading = LANGUAGES[language].read(definition, this.types)
    if (!reading.ok) throw reading.error
    const { graph, description, version } = reading
    return { definition, language, compiled: { graph, language: LANGUAGES[language].engine }, description, version }
  }

  private async findWithDefinition(tx: EntityManager, caller: Principal, id: string): Promise<FlowWithDefinition> {
    return await this.withDefinition(tx, await this.find(tx, caller, id))
  }

  private async withDefinition(tx: EntityManager, flow: Flow): Promise<FlowWithDefinition> {
    const { definition, language } = await tx.findOneByOrFail(FlowRevision, { flowId: flow.id, number: flow.revision })
    return { flow, definition, language }
  }

  private async find(tx: EntityManager, caller: Principal, id: string, lock?: 'lock'): Promise<Flow> {
    const select = tx
      .createQueryBuilder(Flow, 'flow')
      .where('flow.id = :id and flow.accountId = :accountId and flow.deletedAt is null', {
        id,
        accountId: caller.accountId,
      })
    const flow = await (lock ? select.setLock('pessimistic_write') : select).getOne()
    if (!flow) throw new FlowNotFound(id)
    return flow
  }

  private async addRevision(
    tx: EntityManager,
    caller: Principal,
    flow: Flow,
    { definition, language }: { definition: string; language: FlowLanguage },
  ): Promise<void> {
    await tx.insert(FlowRevision, {
      flowId: flow.id,
      number: flow.revision,
      version: flow.version,
      language,
      definition,
      createdAt: flow.updatedAt,
      createdBy: caller.accountId,
    })
  }
}

/** The group has to be one of the flow's account; it stays until the flow is in it. */
async function checkGroup(tx: EntityManager, { groupId, accountId }: Flow): Promise<void> {
  if (groupId === null) return
  const text = 'select 1 from flow_group where id = $1 and account_id = $2 for key share'
  const found = await tx.query<unknown[]>(text, [groupId, accountId])
  if (found.length === 0)
    throw new ValidationFailed([
      { pointer: '#/groupId', detail: `Group with ID ${groupId} not found`, code: 'unknown_group' },
    ])
}

/** A flow as the audit trail keeps it. */
function audited(flow: Flow) {
  const { name, description, version, tags, revision, enabled, category, groupId, permanentId } = flow
  const { kvInherit, kvConflict } = flow
  return { name, description, version, tags, revision, enabled, category, groupId, permanentId, kvInherit, kvConflict }
}
