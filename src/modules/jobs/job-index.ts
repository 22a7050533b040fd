import { createHash } from 'node:crypto'
import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager } from 'typeorm'
import type { JobDefinition } from '../../definitions/flwd/index.js'
import { DEFAULT_TENANT } from '../../platform/auth/principal.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { LOCKS } from '../../platform/database/advisory-locks.js'
import { newId } from '../../platform/ids.js'
import { inParallel } from '../../platform/in-parallel.js'
import { BundleStore } from './bundle-store.js'
import { type JobFolder, jobFoldersOf, MOST_JOBS } from './job-folders.js'
import { idOf, LONGEST_ID, namesOf } from './job-ids.js'
import { JobSettings, type JobSource } from './job-settings.js'
import { type JobError, type ReadJob, readJob } from './read-job.js'
import { SourceTree, UnreadableSource } from './source-tree.js'

/** Each waits for the disk most of its time. */
const READ_AT_ONCE = 16

/** A folder as it was read last. */
interface Remembered {
  mark: string
  read: ReadJob
}

interface JobRow {
  id: string
  folder: string
  jobId: string
  tenantId: string | null
  flowId: string | null
  content: string | null
  error: JobError | null
  goneAt: Date | null
}

/** What an indexing has changed. */
export interface IndexSummary {
  files: number
  jobs: number
  broken: number
  /** Rows that were written. */
  changed: number
}

/**
 * Writes down which jobs a source has, and each new state of one as a revision. Several processes may index the same source: one at a
 * time, each from the source as it is at that moment, so what is written last is the newest.
 */
@Injectable()
export class JobIndex {
  /** By source and folder. */
  private readonly remembered = new Map<string, Map<string, Remembered>>()

  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly bundles: BundleStore,
    @Inject(JobSettings) private readonly settings: Pick<JobSettings, 'profiles'>,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Throws `UnreadableSource` where the source cannot be read: then its jobs stay as they are known. */
  async index(source: JobSource, root: string): Promise<IndexSummary> {
    return await this.database.transaction(async (tx) => {
      await tx.query(`select pg_advisory_xact_lock(${LOCKS.jobs}, hashtext($1))`, [source.name])
      const tree = await SourceTree.at(root)
      const listing = await tree.list()
      const folders = jobFoldersOf(listing)
      if (folders.length > MOST_JOBS) throw new UnreadableSource(`it has more than ${MOST_JOBS} jobs`)
      const rows = new Map((await rowsOf(tx, source.name)).map((row) => [row.folder, row]))
      const remembered = new Map<string, Remembered>()
      const summary: IndexSummary = { files: listing.files.length, jobs: folders.length, broken: 0, changed: 0 }
      const reads: ReadJob[] = []
      await inParallel(folders.entries(), READ_AT_ONCE, async ([at, folder]) => {
        reads[at] = await this.read(source, tree, folder)
      })
      for (const [at, folder] of folders.entries()) {
        const read = reads[at] as ReadJob
        if (isLasting(read)) remembered.set(folder.folder, { mark: folder.mark, read })
        if (!read.ok) summary.broken++
        const isNew = await this.write(tx, source, folder.folder, read, rows.get(folder.folder))
        if (isNew) summary.changed++
        rows.delete(folder.folder)
      }
      const gone = [...rows.values()].filter(({ goneAt }) => goneAt === null).map(({ id }) => id)
      if (gone.length > 0) {
        await tx.query('update job set gone_at = $2, changed_at = $2 where id = any ($1)', [gone, this.clock.now()])
        await tx.query(`${DISABLE} and j.id = any ($1)`, [gone])
      }
      summary.changed += gone.length
      this.remembered.set(source.name, remembered)
      return summary
    })
  }

  /** The jobs of sources that there are no more are gone. */
  async forgetAllBut(sources: readonly string[]): Promise<void> {
    const text = 'update job set gone_at = $2, changed_at = $2 where gone_at is null and source <> all ($1)'
    await this.database.transaction(async (tx) => {
      await tx.query(text, [sources, this.clock.now()])
      await tx.query(`${DISABLE} and j.source <> all ($1)`, [sources])
    })
  }

  private async read(source: JobSource, tree: SourceTree, folder: JobFolder): Promise<ReadJob> {
    const known = this.remembered.get(source.name)?.get(folder.folder)
    if (known?.mark === folder.mark) return known.read
    const id = idOf(source.mountPath, folder.folder)
    const { name } = namesOf(id)
    const options = { bundles: this.bundles, policy: this.settings.profiles }
    if (id === '' || id.length > LONGEST_ID) {
      const why = id === '' ? 'a job at the root of its source needs a mountPath' : 'its path is too long'
      return { ok: false, error: { message: why, path: folder.sentinels[0] ?? '', code: 'id' } }
    }
    return await readJob(tree, folder, { id, name }, options)
  }

  /** Tells whether there was anything to write. */
  private async write(
    tx: EntityManager,
    source: JobSource,
    folder: string,
    read: ReadJob,
    row: JobRow | undefined,
  ): Promise<boolean> {
    const jobId = idOf(source.mountPath, folder).slice(0, LONGEST_ID) || source.name.toLowerCase()
    const place = { source: source.name, folder, jobId, tenantId: source.tenantId }
    const stays = row && row.goneAt === null && row.jobId === jobId && row.tenantId === source.tenantId
    if (!read.ok) {
      if (stays && JSON.stringify(row.error) === JSON.stringify(read.error)) return false
      await this.save(tx, place, { error: read.error })
      return true
    }
    const definition = JSON.stringify(read.definition)
    const content = createHash('sha256').update(definition).digest('hex')
    if (stays && row.content === content && row.error === null) return false
    const flowId = row?.flowId ?? (await this.newFlow(tx, source, jobId))
    const revision = await addRevision(tx, flowId, { definition, content, ...read.definition }, this.clock.now())
    await this.save(tx, place, { flowId, revision, content, definition: read.definition })
    return true
  }

  private async newFlow(tx: EntityManager, source: JobSource, jobId: string): Promise<string> {
    const id = newId('flow')
    const text = `insert into flow (id, tenant_id, name, version, revision, changes, created_at, updated_at)
      values ($1, $2, $3, '', 0, 0, $4, $4)`
    await tx.query(text, [id, source.tenantId ?? DEFAULT_TENANT, jobId, this.clock.now()])
    return id
  }

  private async save(
    tx: EntityManager,
    place: { source: string; folder: string; jobId: string; tenantId: string | null },
    state: { error: JobError } | { flowId: string; revision: number; content: string; definition: JobDefinition },
  ): Promise<void> {
    const now = this.clock.now()
    const { namespace } = namesOf(place.jobId)
    const where = [newId('job'), place.source, place.folder, place.jobId, namespace, place.tenantId, now]
    if ('error' in state) {
      await tx.query(BROKEN, [...where, JSON.stringify(state.error)])
      await tx.query(`${DISABLE} and j.source = $1 and j.folder = $2`, [place.source, place.folder])
      return
    }
    const { flowId, revision, content, definition } = state
    const { version, description, args } = definition.config
    await tx.query(GOOD, [...where, version, description, JSON.stringify(args), flowId, revision, content])
    const flow = `update flow set revision = $2, name = $3, version = $4, description = $5, enabled = true, updated_at = $6
      where id = $1`
    await tx.query(flow, [flowId, revision, place.jobId, version, description, now])
  }
}

/**
 * The number of the revision with this content: a new one, unless the job has been in this state before. Whoever calls holds what keeps
 * others from adding one to the same flow.
 */
export async function addRevision(
  tx: EntityManager,
  flowId: string,
  {
    definition,
    content,
    bundle,
    job,
  }: { definition: string; content: string; bundle: string; job: { version: string } },
  now: Date,
): Promise<number> {
  const known: { number: number }[] = await tx.query(
    'select number from job_revision where flow_id = $1 and content = $2',
    [flowId, content],
  )
  if (known[0]) return known[0].number
  // Never a number that one had before which is gone: processes remember what a number stands for.
  const [[made]]: [[{ number: number }]] = await tx.query(
    'update flow set changes = changes + 1 where id = $1 returning changes as number',
    [flowId],
  )
  await tx.query(
    `insert into flow_revision (flow_id, number, version, language, definition, created_at, created_by)
      values ($1, $2, $3, 'flwd', $4, $5, '')`,
    [flowId, made.number, job.version, definition, now],
  )
  const text = 'insert into job_revision (flow_id, number, content, bundle) values ($1, $2, $3, $4)'
  await tx.query(text, [flowId, made.number, content, bundle])
  return made.number
}

async function rowsOf(tx: EntityManager, source: string): Promise<JobRow[]> {
  return await tx.query(
    `select id, folder, job_id as "jobId", tenant_id as "tenantId", flow_id as "flowId", content, error, gone_at as "goneAt"
      from job where source = $1`,
    [source],
  )
}

/** Whether it would come out the same as long as no file changes. */
function isLasting(read: ReadJob): boolean {
  return read.ok || read.error.code !== 'unreadable'
}

/** No schedule starts what cannot be run now. */
const DISABLE = 'update flow f set enabled = false from job j where f.id = j.flow_id and f.enabled'
const PLACED = `insert into job (id, source, folder, job_id, namespace, tenant_id, changed_at`
const MOVED = `on conflict (source, folder) do update set job_id = excluded.job_id, namespace = excluded.namespace,
  tenant_id = excluded.tenant_id, changed_at = excluded.changed_at, gone_at = null, error = excluded.error`
/** What could be run last is kept. */
const BROKEN = `${PLACED}, error) values ($1, $2, $3, $4, $5, $6, $7, $8) ${MOVED}`
const GOOD = `${PLACED}, version, description, args, flow_id, revision, content)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ${MOVED}, version = excluded.version,
  description = excluded.description, args = excluded.args, flow_id = excluded.flow_id, revision = excluded.revision,
  content = excluded.content`
