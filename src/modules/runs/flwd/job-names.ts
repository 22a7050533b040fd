import { Injectable } from '@nestjs/common'
import type { Principal } from '../../../platform/auth/principal.js'

/** What flwd calls the flows of runs: a job's has the job's id, any other its own. */
@Injectable()
export class JobNames {
  /** By the ids of flows. */
  async of(flowIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    return new Map(flowIds.map((id) => [id, id]))
  }

  /** The flow that a job is; where there is no such job, the word is a flow's own id. */
  async flowOf(_caller: Principal, jobId: string): Promise<string> {
    return jobId
  }
}
