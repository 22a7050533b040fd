import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common'
import type { Principal } from '../../../platform/auth/principal.js'
import { ValidationFailed } from '../../../platform/http/faults.js'
import { JobsService, type PreparedRun } from '../../jobs/jobs.service.js'
import { SealedRunSecrets, SHORTEST_RUN_SECRET } from '../../secrets/run-secrets.js'
import { RunAlreadyFinished } from '../runs.errors.js'
import { type Page, type Run, type RunSummary } from '../runs.queries.js'
import { type AcceptedRun, RunsService } from '../runs.service.js'
import { JobNames } from './job-names.js'
import { statesOf, toStatus } from './run-status.js'
import type { FlwdNewRun, FlwdRunsQuery, NamedRun } from './runs.dto.js'

/** How long a caller waits for the end of a run at most. */
const PATIENCE_MS = 300_000

/** Runs as flwd meets them: of jobs by the jobs' ids, and of all other flows by their own. */
@Injectable()
export class JobRuns implements BeforeApplicationShutdown {
  private readonly stopping = new AbortController()

  constructor(
    private readonly jobs: JobsService,
    private readonly names: JobNames,
    private readonly runs: RunsService,
    private readonly secrets: SealedRunSecrets,
  ) {}

  /** Durable when it resolves; not before its end where that is to be waited for. */
  async create(
    caller: Principal,
    asked: FlwdNewRun,
    idempotencyKey: string | undefined,
    gone: AbortSignal,
  ): Promise<NamedRun<AcceptedRun | Run> & { isRepeated: boolean }> {
    const { job_id: jobId, args = {}, tenant, security_profile: profile } = asked
    const prepared = await this.jobs.prepare(caller, jobId, args, { tenant, profile })
    refuseShort(prepared)
    // Without what is secret, in whose place are marks: what tells whether two requests are the same is kept in plain.
    const sameRequest = {
      jobId,
      args: { ...args, ...this.secrets.marksOf(prepared.secrets) },
      profile: profile ?? null,
    }
    const accepted = await this.runs.acceptJob(caller, prepared, { idempotencyKey, sameRequest })
    const { isRepeated = false } = accepted
    if (asked.async ?? true) return { ...(await this.named(accepted)), isRepeated }
    await this.runs.ended(accepted.id, AbortSignal.any([gone, AbortSignal.timeout(PATIENCE_MS), this.stopping.signal]))
    return { ...(await this.get(caller, accepted.id)), isRepeated }
  }

  async get(caller: Principal, id: string): Promise<NamedRun<Run>> {
    return await this.named(await this.runs.get(caller, id))
  }

  /** As `RunsService` does; that it has ended is said by its status here. */
  async cancel(caller: Principal, id: string): Promise<void> {
    try {
      await this.runs.cancel(caller, id)
    } catch (error) {
      if (!(error instanceof RunAlreadyFinished)) throw error
      const status = toStatus[error.state]
      throw new RunAlreadyFinished(id, error.state, `The run '${id}' has already finished: its status is ${status}`)
    }
  }

  /** Newest first. */
  async page(caller: Principal, query: FlwdRunsQuery): Promise<Page<NamedRun<RunSummary>>> {
    const { job_id: jobId, status, limit, offset } = query
    const flowIds = jobId === undefined ? undefined : await this.names.flowsOf(caller, jobId)
    const { items, total } = await this.runs.page(caller, { flowIds, states: statesOf(status) }, limit, offset)
    const names = await this.names.of(items.map(({ flowId }) => flowId))
    return { items: items.map((run) => ({ run, jobId: names.get(run.flowId) ?? run.flowId })), total }
  }

  beforeApplicationShutdown(): void {
    this.stopping.abort()
  }

  private async named<Of extends { flowId: string }>(run: Of): Promise<NamedRun<Of>> {
    const names = await this.names.of([run.flowId])
    return { run, jobId: names.get(run.flowId) ?? run.flowId }
  }
}

function refuseShort({ secrets }: PreparedRun): void {
  const short = Object.entries(secrets).filter(([, value]) => value.length < SHORTEST_RUN_SECRET)
  if (short.length === 0) return
  const detail = `A secret must have at least ${SHORTEST_RUN_SECRET} characters`
  throw new ValidationFailed(
    short.map(([name]) => ({
      pointer: `#/args/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`,
      detail,
      code: 'too_short',
    })),
  )
}
