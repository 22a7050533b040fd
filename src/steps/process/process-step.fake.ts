import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { RunIdentity, StepResult, StepType } from '../../engine/step.js'
import { SharedPlaces } from '../../platform/fairness/shared-places.js'
import type { JsonObject } from '../../platform/json.js'
import { SMALL_LIMITS } from '../../platform/processes/process.fake.js'
import { ProcessRunner } from '../../platform/processes/process-runner.js'
import { SYSTEM_PATH } from '../../platform/processes/system-path.js'
import { FakeStepContext, type FakeStepOptions, runStep } from '../step-context.fake.js'
import type { JobStepOutput, JobStepParams } from './job-step.js'
import type { LeftFile } from './ports.js'
import { type ProcessStepParts, processStep } from './process-step.js'
import { RunFolders } from './run-folders.js'

const BUNDLE = 'ab'.repeat(32)

export interface KeptArtifact {
  run: string
  name: string
  path: string
  mediaType: string
  content: string
}

/** Steps of jobs for tests: a bundle of files, and everything that the steps said and left. */
export class JobUnderTest {
  readonly folder = mkdtempSync(join(tmpdir(), 'millrace-job-'))
  readonly runner = new ProcessRunner(join(this.folder, 'control'), { hidden: [this.folder] })
  readonly folders = new RunFolders(join(this.folder, 'runs'))
  readonly kept: KeptArtifact[] = []
  secrets: Record<string, string> = {}
  private runs = 0
  private readonly places = new SharedPlaces(32)

  constructor(
    private readonly parts: Partial<ProcessStepParts> = {},
    private readonly make: (parts: ProcessStepParts) => StepType = processStep,
  ) {}

  /** Puts files into the bundle; scripts can be run. */
  files(files: Readonly<Record<string, string>>): this {
    for (const [path, content] of Object.entries(files)) {
      const file = join(this.folder, 'bundle', path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, content)
      chmodSync(file, 0o755)
    }
    return this
  }

  /** As an engine takes it. */
  type(): StepType {
    return processStep(this.all())
  }

  params(params: Partial<JobStepParams>): JsonObject {
    return { ...DEFAULTS, ...params } as JsonObject
  }

  newRun(): string {
    return `run_${++this.runs}`
  }

  async run(
    params: Partial<JobStepParams>,
    {
      run = this.newRun(),
      account = 'account_1',
      args = {},
      ...options
    }: Omit<FakeStepOptions, 'run'> & { run?: string; account?: string; args?: JsonObject } = {},
  ): Promise<{
    result: Promise<StepResult>
    step: FakeStepContext
    folder: string
    run: string
    stdout: () => string[]
  }> {
    const step = new FakeStepContext({ runInput: args, run: { id: run, accountId: account }, ...options })
    const result = runStep(this.make(this.all()), { ...DEFAULTS, ...params } as JsonObject, step)
    result.catch(() => {})
    const stdout = () => step.logs.filter(({ level }) => level === 'info').map(({ message }) => message)
    return { result, step, folder: this.folders.pathOf(run), run, stdout }
  }

  /** Of a step that comes to its end. */
  async output(
    params: Partial<JobStepParams>,
    options: Parameters<JobUnderTest['run']>[1] = {},
  ): Promise<JobStepOutput> {
    const { result } = await this.run(params, options)
    return (await result).output as JobStepOutput
  }

  async close(): Promise<void> {
    await this.runner.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  private all(): ProcessStepParts {
    mkdirSync(join(this.folder, 'bundle'), { recursive: true })
    return {
      runner: this.runner,
      folders: this.folders,
      folder: join(this.folder, 'control'),
      bundles: { open: async () => join(this.folder, 'bundle') },
      secrets: { of: async () => this.secrets },
      artifacts: { keep: (run, file) => this.keep(run, file) },
      earlier: { of: async () => [] },
      limits: () => SMALL_LIMITS,
      places: this.places,
      graceMs: 2_000,
      environment: { PATH: SYSTEM_PATH, HOME: '/root', COLOUR: 'blue' },
      endLeftovers: async () => {},
      ...this.parts,
    }
  }

  private async keep(run: RunIdentity, file: LeftFile): Promise<string> {
    // Once for what it is, and once to keep it.
    const [content, again] = [await text(file.content()), await text(file.content())]
    if (content !== again) throw new Error('it is another each time that it is read')
    if (Buffer.byteLength(content) !== file.size) throw new Error('it has another size than it was said to have')
    const { name, path, mediaType } = file
    this.kept.push({ run: run.id, name, path, mediaType, content })
    return `artifact_${createHash('sha256').update(`${path}\0${content}`).digest('hex').slice(0, 8)}`
  }
}

const DEFAULTS: JobStepParams = {
  job: { id: 'ops/backup', name: 'backup', version: '1.0.0' },
  step: 'step_01',
  bundle: BUNDLE,
  folder: '',
  scripts: [],
  command: null,
  interpreter: ['/bin/bash'],
  libs: [],
  env: {},
  inheritEnv: false,
  profile: 'secure',
  timeoutMs: null,
  secretArgs: [],
  artifacts: [],
  container: null,
}
