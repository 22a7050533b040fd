import type { StepContext } from '../../engine/step.js'
import type { ProcessCommand, ProcessEnd } from '../../platform/processes/process-command.js'
import type { Binding } from './binding.js'
import type { Owner } from './handles.js'
import type { JobStepParams } from './job-step.js'
import type { Places } from './surroundings.js'

/** What the programs of a step run in: this host, or a container. */
export interface StepPrograms {
  /** Makes ready what they need, and refuses what cannot be. Throws `StepError`. */
  prepare(params: JobStepParams, step: StepContext): Promise<PreparedPrograms>
}

export interface PreparedPrograms {
  /** Who they are to the file system, where that is not this server's user. */
  readonly owner?: Owner
  /** Where they find what this host has at these places. */
  placesFor(host: Places): Places
  environmentFor(binding: Binding, seen: Places): Record<string, string>
  /** Ends what an earlier attempt may have left at work. */
  endEarlier(): Promise<void>
  /** Runs to the end, or until the step is told to stop. Throws `StepError`. */
  run(command: ProgramCommand, host: Places, seen: Places): Promise<ProcessEnd>
}

export interface ProgramCommand
  extends Pick<ProcessCommand, 'argv' | 'env' | 'cwd' | 'limits' | 'measured' | 'maxLines' | 'onLine'> {
  secrets: readonly SecretFile[]
}

export interface SecretFile {
  /** Of the file. */
  name: string
  value: string
}
