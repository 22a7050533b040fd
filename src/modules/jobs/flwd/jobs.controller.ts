import { Get, Query } from '@nestjs/common'
import { Caller } from '../../../platform/auth/caller.js'
import type { Principal } from '../../../platform/auth/principal.js'
import { RestOfPath } from '../../../platform/http/rest-of-path.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { JobsService } from '../jobs.service.js'
import { FlwdJob, FlwdJobList, FlwdJobsQuery, toJob, toJobSummary } from './jobs.dto.js'
import * as examples from './jobs.examples.js'

@SurfaceController({
  surface: 'flwd',
  path: 'api/v1/jobs',
  resource: 'Jobs',
  about: 'Folders with a `config.yaml`, found in the sources of this server.',
})
@PathParam(
  'job_id',
  "The job's id. Its slashes may come as they are, or percent-encoded; dots in their place are taken too.",
  'backup/daily',
  { holdsSlashes: true },
)
export class FlwdJobsController {
  constructor(private readonly jobs: JobsService) {}

  @Get()
  @Summary(
    'List jobs',
    'All jobs of all sources, in the order of their ids. A job that cannot be run is listed with the reason.',
  )
  @Answers(FlwdJobList, { description: 'One page of jobs', example: examples.jobList })
  async list(@Caller() caller: Principal, @Query() query: FlwdJobsQuery): Promise<FlwdJobList> {
    return { jobs: (await this.jobs.page(caller, query)).map(toJobSummary) }
  }

  @Get('*job_id')
  @Summary('Get a job', 'What it is and what it takes. 409: several folders come to this id.')
  @Answers(FlwdJob, { description: 'The job', example: examples.job })
  @Problems('conflict')
  async get(@Caller() caller: Principal, @RestOfPath('job_id') id: string): Promise<FlwdJob> {
    return toJob(await this.jobs.get(caller, id))
  }
}
