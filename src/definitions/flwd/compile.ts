import type { Graph, GraphNode } from '../../engine/graph.js'
import { STAGE } from '../../engine/graph.js'
import type { JsonObject } from '../../platform/json.js'
import type { Profile } from '../../platform/processes/profiles.js'
import { CONTAINER_STEP, type JobStepParams, PROCESS_STEP } from '../../steps/process/job-step.js'
import type { JobConfig, JobStep } from './config.js'
import { joinPaths } from './paths.js'
import { interpreterOf } from './scripts.js'

/** What a revision of a job holds: all that its runs need to know, and nothing that could change. */
export interface JobDefinition extends JsonObject {
  job: { id: string; name: string; version: string }
  config: JobConfig
  profile: Profile
  /** The SHA-256 of the snapshot of its folder, and the job's folder in it. */
  bundle: string
  folder: string
  /** Files of the bundle: what runs where there are neither steps nor a command, and what shells source. */
  scripts: string[]
  libs: string[]
}

/** Steps of one run that are at work at the same time. */
const AT_WORK = 4
const STEPS = '#steps'
/** The one step of a job that has none of its own. */
const ONLY = 'step_01'
const LONGEST_RETRY_MS = 86_400_000

export function compile(definition: JobDefinition): Graph {
  const { steps, command, runTimeoutMs } = definition.config
  const only: JobStep = { id: ONLY, name: null, script: null, command, needs: [] }
  const branches = (steps ?? [only]).map((step, at) => nodeOf(definition, step, at))
  const stage: GraphNode = { name: STEPS, type: STAGE, params: {}, next: {}, branches, maxParallel: AT_WORK }
  return {
    start: STEPS,
    nodes: new Map([[STEPS, stage]]),
    ...(runTimeoutMs !== null && { settings: { timeoutMs: runTimeoutMs } }),
  }
}

function nodeOf(definition: JobDefinition, step: JobStep, index: number): GraphNode {
  const { onError, container } = definition.config
  const { policy, retries, backoffMs } = onError
  const label = { id: step.id, ...(step.name !== null && { title: step.name }), index }
  return {
    name: step.id,
    type: container ? CONTAINER_STEP : PROCESS_STEP,
    params: paramsOf(definition, step),
    next: {},
    label,
    needs: step.needs,
    ...(policy === 'continue' && { onError: 'continue' }),
    // What died with its host may have done its work: only who asks for repetition gets it.
    ...(policy === 'retry'
      ? { retry: { maxAttempts: retries + 1, waitMs: Math.min(backoffMs, LONGEST_RETRY_MS) } }
      : { guarantee: 'at_most_once' }),
  }
}

function paramsOf(definition: JobDefinition, { id, script, command }: JobStep): JobStepParams {
  const { job, config, profile, bundle, folder, libs } = definition
  const scripts = script !== null ? [joinPaths(folder, script)] : command === null ? definition.scripts : []
  return {
    job,
    step: id,
    bundle,
    folder,
    scripts,
    command,
    interpreter: config.interpreter ?? interpreterOf(scripts),
    libs,
    env: config.env,
    inheritEnv: config.inheritEnv,
    profile,
    timeoutMs: config.stepTimeoutMs,
    secretArgs: config.secretArgs,
    artifacts: config.artifacts,
    container: config.container,
  }
}
