import { createHash } from 'node:crypto'
import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import { checkArguments, type JobDefinition } from '../../definitions/flwd/index.js'
import type { Principal } from '../../platform/auth/principal.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import type { JsonObject } from '../../platform/json.js'
import { PROFILES } from '../../platform/processes/profiles.js'
import { HIDDEN_ARGUMENT } from '../../steps/process/job-step.js'
import { ContainersAtHand } from '../containers/containers-at-hand.js'
import { idMeantBy, LONGEST_ID, namesOf } from './job-ids.js'
import { addRevision } from './job-index.js'
import { JobSettings } from './job-settings.js'
import {
  ArgumentsInvalid,
  JobBroken,
  JobIdCollision,
  JobNotFound,
  PolicyDenied,
  TenantMismatch,
} from './jobs.errors.js'
import type { JobError } from './read-job.js'

/** A job as its callers know it. */
export interface Job {
  /** Such as `backup/daily`. */
  id: string
  name: string
  namespace: string
  version: string
  description: string
  source: string
  /** JSON Schema 2020-12 of an object. */
  args: JsonObject
  /** Why it cannot be run. */
  error?: JobError
}

export interface JobFilter {
  source?: string
  namespace?: string
}

export interface PrepareOptions {
  /** Instead of the job's own, where that is allowed. */
  profile?: string
  /** Has to be the caller's. */
  tenant?: string
}

/** What a run of a job is made of. */
export interface PreparedRun {
  flowId: string
  revision: number
  /** With defaults, and `[secret]` in place of secrets. */
  args: JsonObject
  secrets: Record<string, string>
}

type JobSeer = Pick<Principal, 'tenantId'>

/** Jobs as they were indexed last, by whichever process. A job that only other tenants may see does not exist. */
@Injectable()
export class JobsService {
  constructor(
    private readonly sql: Sql,
    @InjectDataSource() private readonly database: DataSource,
    @Inject(JobSettings) private readonly settings: Pick<JobSettings, 'profiles'>,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(ContainersAtHand) private readonly containers: Pick<ContainersAtHand, 'check'>,
  ) {}

  /** In the order of their ids. */
  async page(caller: JobSeer, query: JobFilter & { limit: number; offset: number }): Promise<Job[]> {
    const { source = null, namespace = null, limit, offset } = query
    return (await this.sql.query<JobRow>(PAGE, [caller.tenantId, source, namespace, limit, offset])).map(toJob)
  }

  /** The id may be in its old form, with dots. Throws `JobIdCollision` where several jobs have it. */
  async get(caller: JobSeer, jobId: string): Promise<Job> {
    return toJob(await this.find(caller, jobId))
  }

  /** What a run of the job is to be made of. Throws every fault of the arguments at once. */
  async prepare(
    caller: JobSeer,
    jobId: string,
    given: JsonObject = {},
    { profile, tenant = caller.tenantId }: PrepareOptions = {},
  ): Promise<PreparedRun> {
    if (tenant !== caller.tenantId) throw new TenantMismatch()
    const row = await this.find(caller, jobId)
    const { error, flowId, revision } = row
    if (error?.code === 'policy.denied') throw new PolicyDenied(error.message)
    if (error || flowId === null || revision === null)
      throw new JobBroken(row.jobId, error ?? { message: 'it was never read', path: row.folder })
    const checked = checkArguments(row.args, given)
    if (!checked.ok) throw new ArgumentsInvalid(checked.faults)
    const definition = await this.definition(flowId, revision)
    if (!definition) throw new JobNotFound(jobId)
    if (definition.config.container) await this.containers.check()
    return {
      flowId,
      revision: await this.revisionFor(flowId, revision, definition, profile),
      ...withoutSecrets(checked.args, definition.config.secretArgs),
    }
  }

  /**
   * What a run that goes on from another is to be made of: of the same state of the job, or of its newest, with these arguments. Undefined
   * where the caller sees no such job any more. Throws every fault of the arguments at once.
   */
  async prepareAgain(
    caller: JobSeer,
    { flowId, revision }: Pick<PreparedRun, 'flowId' | 'revision'>,
    given: JsonObject,
    { newest }: { newest: boolean },
  ): Promise<PreparedRun | undefined> {
    const [row] = await this.sql.query<{ jobId: string }>(OF_FLOW, [caller.tenantId, flowId])
    if (!row) return undefined
    if (newest) {
      const prepared = await this.prepare(caller, row.jobId, given)
      return prepared.flowId === flowId ? prepared : undefined
    }
    const definition = await this.definition(flowId, revision)
    if (!definition) return undefined
    const { profile, config } = definition
    const { profiles } = this.settings
    if (![profiles.default, ...profiles.jobs, ...profiles.requests].includes(profile))
      throw new PolicyDenied(`jobs may not run under the profile ${profile} any more`)
    if (config.container) await this.containers.check()
    const checked = checkArguments(config.args, given)
    if (!checked.ok) throw new ArgumentsInvalid(checked.faults)
    return { flowId, revision, ...withoutSecrets(checked.args, config.secretArgs) }
  }

  /** The ids of the jobs that these flows are; of those that are gone, too. */
  async jobIdsOf(flowIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const rows = await this.sql.query<{ flowId: string; jobId: string }>(IDS, [[...new Set(flowIds)]])
    return new Map(rows.map((row) => [row.flowId, row.jobId]))
  }

  /** The flows that jobs of this id are or have been. */
  async flowIdsOf(caller: JobSeer, jobId: string): Promise<string[]> {
    const id = idMeantBy(jobId)
    if (!isId(id)) return []
    return (await this.sql.query<{ flowId: string }>(FLOWS, [id, caller.tenantId])).map(({ flowId }) => flowId)
  }

  private async definition(flowId: string, revision: number): Promise<JobDefinition | undefined> {
    const [known] = await this.sql.query<{ definition: string }>(DEFINITION, [flowId, revision])
    return known && JSON.parse(known.definition)
  }

  private async find(caller: JobSeer, jobId: string): Promise<JobRow> {
    const id = idMeantBy(jobId)
    const [row] = isId(id) ? await this.sql.query<JobRow>(FIND, [caller.tenantId, id]) : []
    if (!row) throw new JobNotFound(jobId)
    if (row.places.length > 1) throw new JobIdCollision(id, row.places.sort())
    return row
  }

  /** A revision like this one, with another profile if that is asked for and allowed. */
  private async revisionFor(
    flowId: string,
    revision: number,
    definition: JobDefinition,
    profile: string | undefined,
  ): Promise<number> {
    if (profile === undefined || profile === definition.profile) return revision
    const chosen = PROFILES.find((one) => one === profile)
    if (!chosen || !this.settings.profiles.requests.includes(chosen))
      throw new PolicyDenied(`a request may not choose the profile ${profile}`)
    return await this.database.transaction(async (tx) => {
      await tx.query('select from flow where id = $1 for update', [flowId])
      const changed: JobDefinition = { ...definition, profile: chosen }
      const text = JSON.stringify(changed)
      const content = createHash('sha256').update(text).digest('hex')
      return await addRevision(tx, flowId, { ...changed, definition: text, content }, this.clock.now())
    })
  }
}

interface JobRow {
  source: string
  folder: string
  jobId: string
  version: string
  description: string
  args: JsonObject
  flowId: string | null
  revision: number | null
  error: JobError | null
  /** Where jobs of this id are, as far as the caller may see. */
  places: string[]
}

function toJob({ jobId, folder, version, description, source, args, error, places }: JobRow): Job {
  const collision = places.length > 1 ? collisionOf(jobId, folder, places) : undefined
  const fault = collision ?? error ?? undefined
  return { id: jobId, ...namesOf(jobId), version, description, source, args, ...(fault && { error: fault }) }
}

function collisionOf(jobId: string, folder: string, places: readonly string[]): JobError {
  const message = `several jobs have the id '${jobId}': ${[...places].sort().slice(0, 5).join(' and ')}`
  return { message, path: folder, code: 'job.id.collision' }
}

function withoutSecrets(args: JsonObject, names: readonly string[]): Pick<PreparedRun, 'args' | 'secrets'> {
  const shown = { ...args }
  const secrets: Record<string, string> = {}
  for (const name of names) {
    const value = args[name]
    if (typeof value !== 'string') continue
    secrets[name] = value
    shown[name] = HIDDEN_ARGUMENT
  }
  return { args: shown, secrets }
}

function isId(id: string): boolean {
  return id.length <= LONGEST_ID && /^[a-z0-9-]+(\/[a-z0-9-]+)*$/.test(id)
}

const SEEN = `select source, folder, job_id as "jobId", namespace, version, description, args, flow_id as "flowId", revision, error,
    array_agg(source || ': ' || folder) over (partition by job_id) as places
  from job where gone_at is null and (tenant_id is null or tenant_id = $1)`
const PAGE: Statement = {
  name: 'job_page',
  text: `select * from (${SEEN}) as seen
    where ($2::text is null or source = $2) and ($3::text is null or namespace = $3)
    order by "jobId", source, folder limit $4 offset $5`,
}

const FIND: Statement = { name: 'job_find', text: `${SEEN} and job_id = $2 order by source, folder limit 1` }

const OF_FLOW: Statement = {
  name: 'job_of_flow',
  text: `select job_id as "jobId" from job where flow_id = $2 and gone_at is null and (tenant_id is null or tenant_id = $1)`,
}

const DEFINITION: Statement = {
  name: 'job_definition',
  text: 'select definition from flow_revision where flow_id = $1 and number = $2',
}

const IDS: Statement = {
  name: 'job_ids',
  text: 'select flow_id as "flowId", job_id as "jobId" from job where flow_id = any ($1::text[])',
}

const FLOWS: Statement = {
  name: 'job_flows',
  text: `select flow_id as "flowId" from job
    where job_id = $1 and flow_id is not null and (tenant_id is null or tenant_id = $2)`,
}
