import {
  byName,
  CONFIG_LIMITS,
  type JobConfig,
  type JobDefinition,
  joinPaths,
  librariesFor,
  readConfig,
  scriptsIn,
} from '../../definitions/flwd/index.js'
import { type BundleStore, UnusableBundle } from './bundle-store.js'
import { type JobFolder, ownNames } from './job-folders.js'
import type { ProfilePolicy } from './job-settings.js'
import { type SourceTree, UnreadableSource } from './source-tree.js'

/** Why a job cannot be run, for its author. */
export interface JobError {
  message: string
  /** A file of the source. */
  path: string
  line?: number
  /** A stable word for programs. */
  code: string
}

export type ReadJob = { ok: true; definition: JobDefinition } | { ok: false; error: JobError }

/** Reads the folder of a job into what its runs need to know, and keeps a snapshot of its files. */
export async function readJob(
  tree: SourceTree,
  job: JobFolder,
  id: { id: string; name: string },
  { bundles, policy }: { bundles: BundleStore; policy: ProfilePolicy },
): Promise<ReadJob> {
  const [sentinel = '', second] = job.sentinels
  const broken = (message: string, code: string, line?: number): ReadJob => ({
    ok: false,
    error: { message, path: sentinel, code, ...(line !== undefined && { line }) },
  })
  if (second !== undefined)
    return broken(`there are two configurations: ${sentinel} and ${second}`, 'job.config.dual_sentinel')
  const odd = job.odds.find(({ path }) => path === sentinel)
  if (odd) return broken(`${sentinel} is not taken: ${odd.why}`, 'unreadable')
  try {
    const names = ownNames(job)
    const reading = readConfig(await tree.text(sentinel, CONFIG_LIMITS.bytes), names)
    if (!reading.ok) {
      const [first] = reading.faults
      const more = reading.faults.length > 1 ? ` (and ${reading.faults.length - 1} more)` : ''
      const place = first?.path ? `${first.path}: ` : ''
      return broken(`${place}${first?.detail}${more}`, first?.code ?? 'invalid', first?.line)
    }
    const { profile } = reading.config
    if (profile !== null && !policy.jobs.includes(profile))
      return broken(`jobs may not name the profile ${profile} here`, 'policy.denied')
    const bundle = await bundles.keep(tree, job.files)
    return { ok: true, definition: definitionOf(reading.config, job, { id, bundle, policy, names }) }
  } catch (error) {
    if (error instanceof UnreadableSource || error instanceof UnusableBundle) return broken(error.message, 'unreadable')
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'EACCES' || code === 'ELOOP' || code === 'ENOTDIR')
      return broken(`a file of it cannot be read (${code})`, 'unreadable')
    throw error
  }
}

interface Read {
  id: { id: string; name: string }
  bundle: string
  policy: ProfilePolicy
  names: ReadonlySet<string>
}

function definitionOf(
  config: JobConfig,
  { folder, files }: JobFolder,
  { id, bundle, policy, names }: Read,
): JobDefinition {
  const paths = files.map(({ path }) => path)
  const scripts = config.steps || config.command !== null ? [] : scriptsIn(names, config.interpreter)
  return {
    job: { ...id, version: config.version },
    config,
    profile: config.profile ?? policy.default,
    bundle,
    folder,
    scripts: scripts.sort(byName).map((script) => joinPaths(folder, script)),
    libs: librariesFor(folder, paths),
  }
}
