import type { JsonObject } from '../../platform/json.js'
import type { Profile } from '../../platform/processes/profiles.js'

/** The step types that the steps of jobs compile to: one that starts processes on this host, one that starts a container. */
export const PROCESS_STEP = 'process'
export const CONTAINER_STEP = 'container'

/** What stands in a run's input, and wherever arguments are shown, in the place of one that is a secret. */
export const HIDDEN_ARGUMENT = '[secret]'

/** What a step of a job does, as `definitions/flwd` compiles it. Literal: nothing in it is an expression. */
export interface JobStepParams extends JsonObject {
  job: { id: string; name: string; version: string }
  /** The step's id in its job. */
  step: string
  /** The SHA-256, in hex, of the snapshot of the job's folder: see `JobBundles`. */
  bundle: string
  /** The job's folder inside the bundle, `''` for its root. */
  folder: string
  /** Files of the bundle that are run one after the other, or one shell command. */
  scripts: string[]
  command: string | null
  /** Such as `["/bin/bash"]` or `["/usr/bin/env", "python3"]`; a shell (bash, sh) also gets `libs` and variables. */
  interpreter: string[]
  /** Files of the bundle that a shell sources before each script, in order. */
  libs: string[]
  env: Record<string, string>
  /** Variables of the server that a profile other than `secure` hands on: all, none, or those of these names. */
  inheritEnv: boolean | string[]
  profile: Profile
  /** What the job's author asks for: never more than the profile's limit. Null: the profile's. */
  timeoutMs: number | null
  /** Names of the arguments whose values are secrets. */
  secretArgs: string[]
  /** Files beside those in the folder of artifacts that are artifacts too, as patterns in the run's folder. */
  artifacts: string[]
  container: JobContainer | null
}

export interface JobContainer extends JsonObject {
  image: string
  /** Null: the image's own. */
  entrypoint: string[] | null
  cpus: number | null
  memoryMb: number | null
  network: 'none' | 'bridge' | 'host'
  rootfsWritable: boolean
  capabilities: string[]
}

/** What a step of a job puts out. */
export interface JobStepOutput extends JsonObject {
  /** Of `result.json`, else the last line of the output where it is JSON; null where there is neither. */
  value: JsonObject[string]
  exitCode: number
  /** Ids. */
  artifacts: string[]
}
