import type { JsonObject } from '../../platform/json.js'
import type { Profile } from '../../platform/processes/profiles.js'
import type { JobContainer } from '../../steps/process/job-step.js'
import type { Limits } from '../yaml/limits.js'

/** The `config.yaml` of a job, whichever form it was written in. */
export interface JobConfig extends JsonObject {
  /** What its author calls it; its folder gives it the name that it is known by. */
  title: string | null
  version: string
  description: string
  /** JSON Schema 2020-12 of an object. */
  args: JsonObject
  /** Names of the arguments whose values are secrets. */
  secretArgs: string[]
  /** Null: the one of what it runs. */
  interpreter: string[] | null
  command: string | null
  /** Null: the scripts of its folder, one after the other. */
  steps: JobStep[] | null
  profile: Profile | null
  env: Record<string, string>
  inheritEnv: boolean | string[]
  /** From the run's acceptance to its end. */
  runTimeoutMs: number | null
  stepTimeoutMs: number | null
  onError: ErrorPolicy
  artifacts: string[]
  /** Null where it runs on this host. */
  container: JobContainer | null
}

export interface JobStep extends JsonObject {
  id: string
  name: string | null
  /** Of script and command exactly one. The script's path in the job's folder. */
  script: string | null
  command: string | null
  needs: string[]
}

export interface ErrorPolicy extends JsonObject {
  policy: 'abort' | 'continue' | 'retry'
  /** Attempts beside the first. */
  retries: number
  backoffMs: number
}

/** What one configuration may cost. */
export const CONFIG_LIMITS: Limits = {
  noun: 'a job configuration',
  bytes: 262_144,
  depth: 40,
  tokens: 100_000,
  values: 20_000,
  nodes: 200,
  faults: 100,
}
