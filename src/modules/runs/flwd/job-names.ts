import { Injectable } from '@nestjs/common'
import type { Principal } from '../../../platform/auth/principal.js'
import { JobsService } from '../../jobs/jobs.service.js'

/** What flwd calls the flows of runs: a job's has the job's id, any other its own. */
@Injectable()
export class JobNames {
  /** A flow is the same job for good, so what is known need not be asked again. */
  private known = new Map<string, string>()

  constructor(private readonly jobs: JobsService) {}

  /** By the ids of flows. */
  async of(flowIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const unknown = [...new Set(flowIds)].filter((id) => !this.known.has(id))
    if (unknown.length > 0) {
      const found = await this.jobs.jobIdsOf(unknown)
      if (this.known.size + unknown.length > KEPT) this.known = new Map()
      for (const id of unknown) this.known.set(id, found.get(id) ?? id)
    }
    return new Map(flowIds.map((id) => [id, this.known.get(id) ?? id]))
  }

  /** The flows that are meant; where there is no such job, the word is a flow's own id. */
  async flowsOf(caller: Principal, jobId: string): Promise<string[]> {
    const flows = await this.jobs.flowIdsOf(caller, jobId)
    return flows.length > 0 ? flows : [jobId]
  }
}

const KEPT = 10_000
