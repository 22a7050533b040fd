import { type StepContext, StepError, type StepType } from '../../engine/step.js'
import { IsolationUnavailable } from '../../platform/processes/isolation.errors.js'
import type { ProcessEnd } from '../../platform/processes/process-command.js'
import type { ProcessRunner } from '../../platform/processes/process-runner.js'
import type { Binding } from './binding.js'
import { type JobStepParams, PROCESS_STEP } from './job-step.js'
import { jobStepParams } from './job-step.schema.js'
import { type JobStepParts, JobStepRun } from './job-step-run.js'
import type { PreparedPrograms, ProgramCommand, StepPrograms } from './programs.js'
import { environmentFor, foldersOf, ownerFor, type Places, placesFor } from './surroundings.js'

export interface ProcessStepParts extends JobStepParts {
  runner: ProcessRunner
  /** Between TERM and KILL. */
  graceMs: number
  /** The server's environment, without what configures the server itself. */
  environment: Readonly<Record<string, string | undefined>>
  /** Ends what servers that are gone left running. */
  endLeftovers(): Promise<unknown>
}

/**
 * A step of a job that runs programs on this host, under the job's profile and limits. Its log is what they write; it puts out their result
 * and the artifacts that they left.
 */
export function processStep(parts: ProcessStepParts): StepType {
  const programs: StepPrograms = { prepare: async (params, step) => new HostPrograms(parts, params, step) }
  return {
    name: PROCESS_STEP,
    title: 'Process',
    category: 'control',
    summary: 'Runs the scripts or the command of a job as processes of this host, under a security profile and limits.',
    params: jobStepParams,
    stepClass: 'effect',
    isForJobsOnly: true,
    run: (params, step) => new JobStepRun(parts, programs, params as unknown as JobStepParams, step).run(),
  }
}

/** Programs of this host, under the profile of their job. */
class HostPrograms implements PreparedPrograms {
  readonly owner

  constructor(
    private readonly parts: ProcessStepParts,
    private readonly params: JobStepParams,
    private readonly step: StepContext,
  ) {
    this.owner = ownerFor(params.profile)
  }

  placesFor(host: Places): Places {
    return placesFor(this.params.profile, host)
  }

  environmentFor(binding: Binding, seen: Places): Record<string, string> {
    return environmentFor(this.params, binding, seen, this.parts.environment)
  }

  async endEarlier(): Promise<void> {
    await this.parts.endLeftovers()
  }

  async run(command: ProgramCommand, host: Places, seen: Places): Promise<ProcessEnd> {
    const { runner, graceMs } = this.parts
    const { run, signal } = this.step
    const { profile } = this.params
    try {
      return await runner.run({ ...command, run: run.id, profile, folders: foldersOf(host, seen), signal, graceMs })
    } catch (error) {
      if (!(error instanceof IsolationUnavailable)) throw error
      throw new StepError(error.message, { code: 'isolation_unavailable', retryable: false, cause: error })
    }
  }
}
