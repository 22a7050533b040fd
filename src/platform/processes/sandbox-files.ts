import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { syscallFilter } from './syscall-filter.js'

/** What bubblewrap is told in files of the server's own, because command lines are there for every user of the host to read. */
export interface SandboxFiles {
  /** The environment of the programs, as arguments. */
  environment: string
  /** The filter of system calls; undefined where what to keep from programs is not known for this machine. */
  calls?: string
}

/** The folder is the server's alone. */
export async function writeSandboxFiles(folder: string, env: Readonly<Record<string, string>>): Promise<SandboxFiles> {
  const words = Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value])
  const environment = await written(join(folder, 'environment'), words.map((word) => `${word}\0`).join(''))
  const filter = syscallFilter()
  return { environment, calls: filter && (await written(join(folder, 'calls'), filter)) }
}

async function written(path: string, content: string | Buffer): Promise<string> {
  await writeFile(path, content, { mode: 0o600 })
  return path
}
