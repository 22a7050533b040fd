import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type StepContext, StepError, type StepResult } from '../../engine/step.js'
import type { SharedPlaces } from '../../platform/fairness/shared-places.js'
import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import { SecretMasker } from '../../platform/masking/secret-masker.js'
import { controlPrefix } from '../../platform/processes/orphans.js'
import type { Channel } from '../../platform/processes/output.js'
import type { ProcessEnd } from '../../platform/processes/process-command.js'
import type { ProcessLimits } from '../../platform/processes/profiles.js'
import { type Binding, bind } from './binding.js'
import { commandOf, PRELUDE } from './command.js'
import type { JobStepOutput, JobStepParams } from './job-step.js'
import { leftFiles } from './left-files.js'
import { LogFile } from './log-file.js'
import type { JobStepPorts } from './ports.js'
import type { PreparedPrograms, SecretFile, StepPrograms } from './programs.js'
import { resultBefore, resultOf } from './result.js'
import { fileNameOf, type RunFolder, type RunFolders } from './run-folders.js'
import { type Places, withoutSecrets } from './surroundings.js'

const run = promisify(execFile)

/** Lines of each channel that are told, which is as many as the log of a run takes. */
const MOST_LINES = 10_000
/** How much of the last complaint becomes part of an error. */
const LONGEST_COMPLAINT = 1_000

/** What steps of jobs stand on, whatever their programs run in. */
export interface JobStepParts extends JobStepPorts {
  folders: RunFolders
  /** Where it keeps what a step needs meanwhile. */
  folder: string
  /** For attempts at steps of jobs, whosever. */
  places: SharedPlaces
}

/**
 * One attempt at a step of a job: makes its folder ready, has its programs run, tells what they write, and gathers their result and the
 * artifacts that they left.
 */
export class JobStepRun {
  private readonly last: Partial<Record<Channel, string>> = {}
  private masker = new SecretMasker([])
  private secretFiles: SecretFile[] = []

  constructor(
    private readonly parts: JobStepParts,
    private readonly programs: StepPrograms,
    private readonly params: JobStepParams,
    private readonly step: StepContext,
  ) {}

  /** Waits for a place first: programs are many times heavier than the runs that they belong to. */
  run(): Promise<StepResult> {
    const { parts, step } = this
    return parts.places.take(step.run.accountId, step.signal, () => this.runNow())
  }

  private async runNow(): Promise<StepResult> {
    const { parts, params, step } = this
    // An image is fetched before anything waits for it.
    const programs = await this.programs.prepare(params, step)
    const bundle = await this.readable(await parts.bundles.open(params.bundle), programs)
    const secrets = params.secretArgs.length > 0 ? await parts.secrets.of(step.run) : {}
    this.masker = new SecretMasker(Object.values(secrets))
    this.secretFiles = Object.entries(secrets).map(([name, value]) => ({ name: fileNameOf(name), value }))
    const args = withoutSecrets(isJsonObject(step.runInput) ? step.runInput : {}, params.secretArgs)
    const binding = bind(args, params.secretArgs)
    for (const name of binding.tooLong)
      this.warn(`the argument '${name}' is too long for a program: it is in args.json alone`)
    const folder = await parts.folders.open(step.run.id, {
      owner: programs.owner,
      signal: step.signal,
      earlier: async () => (step.run.resumedFrom === undefined ? [] : await parts.earlier.of(step.run)),
    })
    await mkdir(parts.folder, { recursive: true, mode: 0o700 })
    const own = await mkdtemp(join(parts.folder, controlPrefix()))
    try {
      // What an earlier attempt left, whose server is gone, shall not work beside this one.
      if (!folder.isNew) await programs.endEarlier()
      await folder.describe(this.plan(args), args)
      await folder.keepSecrets(secrets)
      return await this.work(programs, folder, binding, { run: folder.path, bundle, step: own })
    } finally {
      await folder.close()
      await rm(own, { recursive: true, force: true })
    }
  }

  private async work(
    programs: PreparedPrograms,
    folder: RunFolder,
    binding: Binding,
    host: Places,
  ): Promise<StepResult> {
    const { params, step } = this
    const seen = programs.placesFor(host)
    const { argv, cwd, prelude } = commandOf(params, binding, seen)
    await chmod(host.step, 0o755)
    await writeFile(join(host.step, PRELUDE), prelude, { mode: 0o644 })
    const before = await resultBefore(folder)
    const since = new Date()
    const files = {
      stdout: await LogFile.open(folder.root, 'stdout', folder.owner),
      stderr: await LogFile.open(folder.root, 'stderr', folder.owner),
    }
    let end: ProcessEnd
    try {
      step.checkClaim()
      end = await programs.run(
        {
          argv,
          env: programs.environmentFor(binding, seen),
          cwd,
          limits: this.limits,
          measured: folder.path,
          maxLines: MOST_LINES,
          secrets: this.secretFiles,
          onLine: (channel, { text, isCut }) => this.told(channel, text, isCut, files[channel]),
        },
        host,
        seen,
      )
    } finally {
      await Promise.all([files.stdout.close(), files.stderr.close()])
    }
    // Whoever told it to end knows better why it did.
    step.signal.throwIfAborted()
    for (const channel of end.shortened)
      this.warn(`${channel} went on: after ${MOST_LINES} lines only the last is told`)
    const artifacts = await this.artifacts(folder, since, end)
    const failure = this.failureOf(end, artifacts)
    if (failure) throw failure
    const value = this.masked(await resultOf(folder, before, this.last.stdout))
    const output: JobStepOutput = { value, exitCode: end.exitCode, artifacts }
    return { output }
  }

  /** The job's author may ask for less time than the profile gives, never for more. */
  private get limits(): ProcessLimits {
    const { profile, timeoutMs } = this.params
    const limits = this.parts.limits(profile)
    return { ...limits, wallMs: Math.min(timeoutMs ?? limits.wallMs, limits.wallMs) }
  }

  private told(channel: Channel, text: string, isCut: boolean, file: LogFile): void | Promise<void> {
    const line = this.masked(text) as string
    // A result is not read from what was cut; and a masked one is none that could be told from it.
    this.last[channel] = isCut ? undefined : channel === 'stdout' ? text : line
    this.step.log(channel === 'stdout' ? 'info' : 'error', line, { channel, step: this.params.step })
    return file.add(line)
  }

  private async artifacts(folder: RunFolder, since: Date, end: ProcessEnd): Promise<string[]> {
    const ids = new Set<string>()
    try {
      await leftFiles(
        folder,
        { patterns: this.params.artifacts, since },
        {
          keep: async (file) => {
            const path = this.masked(file.path) as string
            const name = this.masked(file.name) as string
            ids.add(await this.parts.artifacts.keep(this.step.run, { ...file, path, name }))
          },
          warn: (message) => this.warn(message),
        },
      )
    } catch (error) {
      const message = this.masked(`an artifact was not kept: ${(error as Error).message}`) as string
      // Of two failures the program's own is the one to tell.
      if (!this.failureOf(end, [])) throw new StepError(message, { code: 'artifact_refused', cause: error })
      this.warn(message)
    }
    return [...ids]
  }

  private failureOf({ exitCode, signal, limit, left }: ProcessEnd, artifacts: string[]): StepError | undefined {
    if (exitCode === 0 && !limit) return undefined
    const { step, profile } = this.params
    const output: JsonObject = {
      exitCode,
      artifacts,
      ...(signal && { signal }),
      ...(limit && { limit: limit.limit }),
      ...(left > 0 && { left }),
    }
    if (limit) {
      const code = limit.limit === 'wall' ? 'timeout' : `limit_${limit.limit}`
      const what = limit.limit === 'wall' ? '' : ` (the limit of the profile '${profile}')`
      return new StepError(`the step '${step}' was ended: ${limit.message}${what}`, { code, output })
    }
    const complaint = this.last.stderr?.trim().slice(0, LONGEST_COMPLAINT)
    const how = signal ? `was ended by ${signal}` : `ended with the exit code ${exitCode}`
    return new StepError(`the step '${step}' ${how}${complaint ? `: ${complaint}` : ''}`, {
      code: signal ? 'signal' : 'exit_code',
      output,
    })
  }

  private plan(args: JsonObject): JsonObject {
    const { job, profile, bundle, step } = this.params
    return { run_id: this.step.run.id, job, step, profile, bundle, args, limits: { ...this.limits } }
  }

  private masked(value: Json): Json {
    return this.masker.mask(this.step.mask(value))
  }

  private warn(message: string): void {
    this.step.log('warn', this.masked(message) as string, { step: this.params.step })
  }

  /** Nobody may read what is closed to others, and in the sandbox of a server that is root the programs are nobody. */
  private async readable(bundle: string, { owner }: PreparedPrograms): Promise<string> {
    if (!owner) return bundle
    const { mode } = await stat(bundle)
    // Whatever is above it stays closed.
    if ((mode & 0o005) !== 0o005) await run('chmod', ['-R', 'go+rX', '--', bundle])
    return bundle
  }
}
