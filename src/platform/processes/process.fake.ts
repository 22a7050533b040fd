import { mkdtempSync, rmSync } from 'node:fs'
import { chown, mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Line } from './lines.js'
import type { Channel } from './output.js'
import type { ProcessCommand, ProcessEnd } from './process-command.js'
import { ProcessRunner } from './process-runner.js'
import type { ProcessLimits, Profile } from './profiles.js'
import { NOBODY } from './sandbox.js'

/** Small enough that an attack which they fail to stop harms nobody. */
export const SMALL_LIMITS: ProcessLimits = {
  cpuSeconds: 10,
  memoryMb: 64,
  processes: 30,
  fileMb: 32,
  openFiles: 64,
  wallMs: 60_000,
}

export interface Ran extends ProcessEnd {
  stdout: string[]
  stderr: string[]
}

/** Runs shell scripts for tests, each in a run folder of its own. */
export class ScriptRuns {
  readonly folder = mkdtempSync(join(tmpdir(), 'millrace-processes-'))
  readonly runner: ProcessRunner
  private count = 0

  constructor(options: ConstructorParameters<typeof ProcessRunner>[1] = {}) {
    this.runner = new ProcessRunner(join(this.folder, 'control'), options)
  }

  async newFolder(profile: Profile): Promise<string> {
    const path = join(this.folder, `run-${++this.count}`)
    await mkdir(path, { mode: 0o700 })
    if (profile === 'secure' && process.getuid?.() === 0) await chown(path, NOBODY, NOBODY)
    return path
  }

  async run(
    profile: Profile,
    script: string,
    {
      limits = {},
      folder,
      ...more
    }: Partial<Omit<ProcessCommand, 'limits'>> & { limits?: Partial<ProcessLimits>; folder?: string } = {},
  ): Promise<Ran> {
    const path = folder ?? (await this.newFolder(profile))
    const told: Record<Channel, string[]> = { stdout: [], stderr: [] }
    const end = await this.runner.run({
      run: 'run_1',
      profile,
      argv: ['/bin/bash', '-c', script],
      env: { PATH: '/usr/local/bin:/usr/bin:/bin' },
      cwd: profile === 'secure' ? '/workspace' : path,
      folders: [{ path, at: '/workspace', isWritable: true }],
      limits: { ...SMALL_LIMITS, ...limits },
      measured: path,
      maxLines: 1_000,
      onLine: (channel: Channel, { text }: Line) => void told[channel].push(text),
      graceMs: 2_000,
      ...more,
    })
    return { ...end, ...told }
  }

  async close(): Promise<void> {
    await this.runner.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}
