import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type StepContext, StepError } from '../../engine/step.js'
import { ContainerError } from '../../platform/containers/container-error.js'
import type {
  ContainerEnd,
  ContainerMount,
  ContainerOrder,
  OutputChannel,
  ReadyImage,
} from '../../platform/containers/container-order.js'
import { type ContainerRuntime, RUN_LABEL, STEP_LABEL } from '../../platform/containers/container-runtime.js'
import { FolderWatch } from '../../platform/processes/folder-watch.js'
import { Telling } from '../../platform/processes/output.js'
import type { ProcessEnd } from '../../platform/processes/process-command.js'
import type { LimitReached } from '../../platform/processes/watchdog.js'
import type { Binding } from './binding.js'
import { containerName } from './container-name.js'
import type { JobContainer, JobStepParams } from './job-step.js'
import type { PreparedPrograms, ProgramCommand } from './programs.js'
import { environmentFor, foldersOf, type Places, placesFor } from './surroundings.js'

/** Where a container finds the secrets of its run, as it would have them of Docker. */
const SECRETS = '/run/secrets'
/** What a container may have of the processors where its job does not say. */
const CPUS = 1
/** As shells tell that something was killed. */
const KILLED = 137

export interface ContainerParts {
  runtime: ContainerRuntime
  image: ReadyImage
  container: JobContainer
  params: JobStepParams
  step: StepContext
  graceMs: number
}

/** The programs of one attempt at a step: one container, which ends with the first of them. */
export class ContainerPrograms implements PreparedPrograms {
  readonly owner: ReadyImage['owner']

  constructor(private readonly parts: ContainerParts) {
    this.owner = parts.image.owner
  }

  /** As in the sandbox of this host, so that jobs need not know. */
  placesFor(host: Places): Places {
    return placesFor('secure', host)
  }

  /** Nothing of the server's; and where programs are is for the image to say. */
  environmentFor(binding: Binding, seen: Places): Record<string, string> {
    const { params } = this.parts
    const { PATH, ...env } = environmentFor({ ...params, profile: 'secure' }, binding, seen, {})
    return { ...env, ...(Object.hasOwn(params.env, 'PATH') && { PATH: PATH as string }), FLWD_SECRETS_DIR: SECRETS }
  }

  /** Its container has the name that this one takes. */
  async endEarlier(): Promise<void> {}

  async run(command: ProgramCommand, host: Places, seen: Places): Promise<ProcessEnd> {
    const { runtime, step } = this.parts
    const order = await this.order(command, host, seen)
    const output = { stdout: telling(command, 'stdout'), stderr: telling(command, 'stderr') }
    const full = new AbortController()
    const watch = new FolderWatch(command.measured, command.limits.fileMb, (limit) => full.abort(limit))
    const signal = AbortSignal.any([step.signal, full.signal])
    let end: ContainerEnd | undefined
    let limit: LimitReached | undefined
    try {
      step.checkClaim()
      end = await inStepsWords(() => runtime.run(order, (channel, bytes) => output[channel].take(bytes), signal))
      if (end.outOfMemory)
        limit = { limit: 'memory', message: `it used more than ${order.limits.memoryMb} MiB of memory` }
    } catch (error) {
      step.signal.throwIfAborted()
      if (error instanceof StepError && error.code === 'container.timeout') limit = overtime(order)
      else if (!full.signal.aborted) throw error
    } finally {
      await watch.stop()
    }
    const shortened: OutputChannel[] = []
    for (const channel of ['stdout', 'stderr'] as const)
      if ((await output[channel].end()).isShortened) shortened.push(channel)
    return {
      exitCode: end?.exitCode ?? KILLED,
      limit: limit ?? (full.signal.reason as LimitReached | undefined),
      wasTold: false,
      shortened,
      used: { cpuMs: 0, memoryBytes: 0, processes: 0 },
      left: 0,
    }
  }

  private async order(command: ProgramCommand, host: Places, seen: Places): Promise<ContainerOrder> {
    const { container, params, image, step, graceMs } = this.parts
    const { limits } = command
    const hasProgram = params.command !== null || params.scripts.length > 0
    return {
      name: containerName(step.run.id, params.step),
      labels: { [RUN_LABEL]: step.run.id, [STEP_LABEL]: params.step.slice(0, 200) },
      image,
      entrypoint: container.entrypoint ?? undefined,
      // Where the job brings nothing to run, the image's own program runs as it is.
      command: hasProgram ? command.argv : undefined,
      env: command.env,
      workdir: command.cwd,
      mounts: [
        ...foldersOf(host, seen).map(({ path, at, isWritable }) => ({
          source: path,
          target: at,
          readOnly: !isWritable,
        })),
        await secretsOf(command, host),
      ],
      network: container.network,
      rootfsWritable: container.rootfsWritable,
      capabilities: container.capabilities,
      limits: {
        ...limits,
        memoryMb: Math.min(container.memoryMb ?? limits.memoryMb, limits.memoryMb),
        cpus: container.cpus ?? CPUS,
        graceMs,
      },
    }
  }
}

/**
 * Apart from the run's folder, which its programs write: a link that they put in the place of a folder there would have the runtime mount
 * something else. Open to all, since the container alone sees them: what is above them is closed.
 */
async function secretsOf({ secrets }: ProgramCommand, host: Places): Promise<ContainerMount> {
  const folder = join(host.step, 'secrets')
  await mkdir(folder)
  await chmod(folder, 0o755)
  for (const { name, value } of secrets) {
    await writeFile(join(folder, name), value)
    await chmod(join(folder, name), 0o444)
  }
  return { source: folder, target: SECRETS, readOnly: true }
}

function telling({ maxLines, onLine }: ProgramCommand, channel: OutputChannel): Telling {
  return new Telling({ maxLines, onLine: (line) => onLine(channel, line) })
}

function overtime({ limits }: ContainerOrder): LimitReached {
  return { limit: 'wall', message: `it took longer than ${Math.round(limits.wallMs / 100) / 10} seconds` }
}

/** What the runtime refuses is told as the step's own failure. */
export async function inStepsWords<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof ContainerError)) throw error
    const { message, code, retryable } = error
    throw new StepError(message, { code, retryable, cause: error })
  }
}
