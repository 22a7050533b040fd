import { ArrayField, IntField, ObjectField, StringField } from '../../../platform/openapi/fields.js'
import { pagedBy } from '../../../platform/openapi/paging.js'
import type { Job } from '../jobs.service.js'
import type { JobError } from '../read-job.js'

/** Which jobs to list. */
export class FlwdJobsQuery extends pagedBy({ default: 100, max: 1000 }) {
  @StringField({ description: 'Only jobs of this source.', example: 'local-fs', optional: true, maxLength: 64 })
  source?: string

  @StringField({
    description: 'Only jobs directly in this namespace.',
    example: 'backup',
    optional: true,
    maxLength: 500,
  })
  namespace?: string
}

/** Why a job cannot be run. */
export class FlwdJobError {
  @StringField({
    description: 'What is wrong.',
    example: "/steps/0/script: the script 'run.sh' is not in the job's folder",
    maxLength: 20_000,
  })
  message: string

  @StringField({
    description: 'The file, from the root of its source.',
    example: 'backup/daily/config.yaml',
    minLength: 0,
    maxLength: 10_000,
  })
  path: string

  @IntField({ description: 'The line, where one is at fault.', example: 12, min: 1, optional: true })
  line?: number
}

/** A job, as lists have it. */
export class FlwdJobSummary {
  @StringField({ description: 'The id: the path of its folder.', example: 'backup/daily', maxLength: 500 })
  id: string

  @StringField({ description: 'The last part of the id.', example: 'daily', maxLength: 500 })
  name: string

  @StringField({
    description: 'What stands before the name; empty where nothing does.',
    example: 'backup',
    minLength: 0,
    maxLength: 500,
  })
  namespace: string

  @StringField({
    description: "Its author's; empty where it has none.",
    example: '1.0.0',
    minLength: 0,
    maxLength: 100,
  })
  version: string

  @StringField({ description: 'What it does.', example: 'Daily backup job', minLength: 0, maxLength: 10_000 })
  description: string

  @StringField({ description: 'Where it was found.', example: 'local-fs', maxLength: 64 })
  source: string

  @ObjectField({ description: 'Why it cannot be run; absent where it can.', type: () => FlwdJobError, optional: true })
  error?: FlwdJobError
}

/** A job with what it takes. */
export class FlwdJob extends FlwdJobSummary {
  @ObjectField({
    description:
      'What a run takes: JSON Schema 2020-12 of an object. `"format": "secret"` marks values that are never shown.',
    example: {
      type: 'object',
      properties: { target: { type: 'string', description: 'Backup target directory' } },
      required: ['target'],
    },
  })
  args: object
}

/** One page of jobs, in the order of their ids. */
export class FlwdJobList {
  @ArrayField({ of: () => FlwdJobSummary, description: 'This page.' })
  jobs: FlwdJobSummary[]
}

export function toJobSummary({ id, name, namespace, version, description, source, error }: Job): FlwdJobSummary {
  return { id, name, namespace, version, description, source, ...(error && { error: toError(error) }) }
}

export function toJob(job: Job): FlwdJob {
  return { ...toJobSummary(job), args: job.args }
}

function toError({ message, path, line }: JobError): FlwdJobError {
  return { message, path, ...(line !== undefined && { line }) }
}
