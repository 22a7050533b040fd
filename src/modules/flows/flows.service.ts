import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager } from 'typeorm'
import {
  type Compilation,
  compile,
  type Metadata,
  type StepTypes,
  stepTypesOf,
  toDomainError,
} from '../../definitions/flowrunner/index.js'
import type { Graph } from '../../engine/graph.js'
import { StepRegistry } from '../../engine/step.js'
import type { Principal } from '../../platform/auth/principal.js'
import { CLOCK, type Clock, changeTime } from '../../platform/clock/clock.js'
import { BatchedReads } from '../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { type Expected, requireMatch } from '../../platform/http/headers.js'
import { newId } from '../../platform/ids.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { CompiledFlows } from './compiled-flows.js'
import { Flow } from './flow.entity.js'
import { FlowRevision } from './flow-revision.entity.js'
import { FlowNotFound, FlowVersionNotFound } from './flows.errors.js'

export interface NewFlow {
  name: string
  description?: string
  definition: string
  tags?: string[]
}

export type FlowChange = Partial<NewFlow>

export interface FlowPage {
  flows: Flow[]
  total: number
}

/** What starting a run needs of a flow. */
export interface RunnableFlow {
  id: string
  revision: number
}

const RUNNABLE: Statement = {
  name: 'flow_runnable',
  text: 'select id as key, account_id as "accountId", revision from flow where id = any ($1::text[]) and deleted_at is null',
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
  private readonly runnables: BatchedReads<{ key: string; accountId: string; revision: number }>

  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly sql: Sql,
    registry: StepRegistry,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.types = stepTypesOf(registry)
    this.compiled = new CompiledFlows(sql, (definition) => this.compile(definition))
    this.runnables = new BatchedReads(sql, RUNNABLE)
  }

  async page(caller: Principal, query: { tag?: string; limit: number; offset: number }): Promise<FlowPage> {
    const select = this.database
      .getRepository(Flow)
      .createQueryBuilder('flow')
      .where('flow.accountId = :accountId and flow.deletedAt is null', { accountId: caller.accountId })
      .orderBy('flow.id')
      .offset(query.offset)
      .limit(query.limit)
    if (query.tag !== undefined) select.andWhere('flow.tags @> array[:tag]', { tag: query.tag })
    const [flows, total] = await select.getManyAndCount()
    return { flows, total }
  }

  async getWithDefinition(caller: Principal, id: string): Promise<{ flow: Flow; definition: string }> {
    const flow = await this.find(this.database.manager, caller, id)
    const { definition } = await this.database.manager.findOneByOrFail(FlowRevision, {
      flowId: id,
      number: flow.revision,
    })
    return { flow, definition }
  }

  async create(caller: Principal, input: NewFlow): Promise<Flow> {
    const { metadata, graph } = this.check(input.definition)
    const now = this.clock.now()
    const flow: Flow = {
      id: newId('flow'),
      tenantId: caller.tenantId,
      accountId: caller.accountId,
      name: input.name,
      description: input.description ?? metadata.description ?? '',
      version: metadata.version ?? 'v1',
      tags: input.tags ?? [],
      revision: 1,
      createdAt: now,
      updatedAt: now,
      deletedAt: null,
    }
    await this.database.transaction(async (tx) => {
      await tx.insert(Flow, flow)
      await this.addRevision(tx, caller, flow, input.definition)
      await this.audit.record(tx, {
        actor: caller,
        action: 'flow.create',
        resource: ['flow', flow.id],
        after: audited(flow),
      })
    })
    this.compiled.put(flow.id, flow.revision, input.definition, graph)
    return flow
  }

  /** Members left out stay. A definition that differs from the current one becomes the next revision. */
  async update(caller: Principal, id: string, change: FlowChange, expected?: Expected): Promise<Flow> {
    const checked = change.definition === undefined ? undefined : this.check(change.definition)
    const flow = await this.database.transaction(async (tx) => {
      const flow = await this.find(tx, caller, id, 'lock')
      requireMatch(expected, flow.updatedAt)
      const before = audited(flow)
      Object.assign(flow, {
        name: change.name ?? flow.name,
        description: change.description ?? checked?.metadata.description ?? flow.description,
        tags: change.tags ?? flow.tags,
        updatedAt: changeTime(this.clock.now(), flow.updatedAt),
      })
      if (checked) {
        flow.revision += 1
        flow.version = checked.metadata.version ?? `v${flow.revision}`
        await this.addRevision(tx, caller, flow, checked.definition)
      }
      await tx.save(Flow, flow)
      await this.audit.record(tx, {
        actor: caller,
        action: 'flow.update',
        resource: ['flow', id],
        before,
        after: audited(flow),
      })
      return flow
    })
    if (checked) this.compiled.put(id, flow.revision, checked.definition, checked.graph)
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
  async runnable(caller: { accountId: string }, id: string, version = 'latest'): Promise<RunnableFlow> {
    const [flow] = await this.runnables.rowsOf(id)
    if (flow?.accountId !== caller.accountId) throw new FlowNotFound(id)
    if (version === 'latest') return { id, revision: flow.revision }
    const [labelled] = await this.sql.query<{ number: number }>(LABELLED, [id, version])
    if (!labelled) throw new FlowVersionNotFound(id, version)
    return { id, revision: labelled.number }
  }

  graph(flowId: string, revision: number): Promise<Graph> {
    return this.compiled.get(flowId, revision)
  }

  private compile(definition: string): Compilation {
    return compile(definition, this.types)
  }

  private check(definition: string): { definition: string; metadata: Metadata; graph: Graph } {
    const compilation = this.compile(definition)
    if (!compilation.ok) throw toDomainError(compilation.faults)
    return { definition, ...compilation }
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

  private async addRevision(tx: EntityManager, caller: Principal, flow: Flow, definition: string): Promise<void> {
    await tx.insert(FlowRevision, {
      flowId: flow.id,
      number: flow.revision,
      version: flow.version,
      language: 'flowrunner',
      definition,
      createdAt: flow.updatedAt,
      createdBy: caller.accountId,
    })
  }
}

/** A flow as the audit trail keeps it. */
function audited({ name, description, version, tags, revision }: Flow) {
  return { name, description, version, tags, revision }
}
