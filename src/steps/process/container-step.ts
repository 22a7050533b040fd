import { type StepContext, StepError, type StepType } from '../../engine/step.js'
import type { ContainerRuntimes } from '../../platform/containers/container-runtimes.js'
import { ContainerPrograms, inStepsWords } from './container-programs.js'
import { CONTAINER_STEP, type JobContainer, type JobStepParams } from './job-step.js'
import { jobStepParams } from './job-step.schema.js'
import { type JobStepParts, JobStepRun } from './job-step-run.js'
import type { StepPrograms } from './programs.js'

export interface ContainerStepParts extends JobStepParts {
  runtimes: ContainerRuntimes
  /** Between TERM and KILL. */
  graceMs: number
}

/**
 * A step of a job that runs programs in a container, of Docker or podman. Its log is what they write; it puts out their result and the
 * artifacts that they left.
 */
export function containerStep(parts: ContainerStepParts): StepType {
  const programs: StepPrograms = { prepare: (params, step) => prepare(parts, params, step) }
  return {
    name: CONTAINER_STEP,
    title: 'Container',
    category: 'control',
    summary:
      'Runs the scripts or the command of a job in a container, without network, privileges or a root that it could write.',
    params: jobStepParams,
    stepClass: 'effect',
    isForJobsOnly: true,
    run: (params, step) => new JobStepRun(parts, programs, params as unknown as JobStepParams, step).run(),
  }
}

async function prepare({ runtimes, graceMs }: ContainerStepParts, params: JobStepParams, step: StepContext) {
  const container = allowed(params)
  return await inStepsWords(async () => {
    const runtime = await runtimes.open()
    const onProgress = (message: string) => step.log('info', message, { step: params.step })
    const image = await runtime.ready(container.image, onProgress, step.signal)
    return new ContainerPrograms({ runtime, image, container, params, step, graceMs })
  })
}

/** What a container opens, its job's profile must allow. */
function allowed({ container, profile }: JobStepParams): JobContainer {
  if (!container) throw refused('the step has no container')
  const { network } = container
  if (network !== 'none' && profile === 'secure')
    throw refused(`under the profile 'secure' a container has no network: for '${network}' the job needs 'permissive'`)
  if (network === 'host' && profile !== 'disabled')
    throw refused("a container has the host's own network under the profile 'disabled' alone")
  return container
}

function refused(message: string): StepError {
  return new StepError(message, { code: 'container.refused', retryable: false })
}
