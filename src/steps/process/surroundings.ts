import type { JsonObject } from '../../platform/json.js'
import type { Profile } from '../../platform/processes/profiles.js'
import { type Folder, NOBODY } from '../../platform/processes/sandbox.js'
import { SYSTEM_PATH } from '../../platform/processes/system-path.js'
import type { Binding } from './binding.js'
import type { Owner } from './handles.js'
import { HIDDEN_ARGUMENT, type JobStepParams } from './job-step.js'
import { WORKSPACE } from './left-files.js'

/** Where programs find what they work with: at names of its own in a sandbox, elsewhere where the host has it. */
export interface Places {
  run: string
  bundle: string
  /** What this server wrote for the step. */
  step: string
}

export function placesFor(profile: Profile, host: Places): Places {
  return profile === 'secure' ? { run: WORKSPACE, bundle: '/job', step: '/step' } : host
}

/** The host's folders as the sandbox is given them. */
export function foldersOf(host: Places, seen: Places): Folder[] {
  return [
    { path: host.run, at: seen.run, isWritable: true },
    { path: host.bundle, at: seen.bundle, isWritable: false },
    { path: host.step, at: seen.step, isWritable: false },
  ]
}

/** Who the programs of a profile are to the file system, where that is not this server's user. */
export function ownerFor(profile: Profile): Owner | undefined {
  return profile === 'secure' && process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : undefined
}

/** What every program may know of the server's environment, unless it is in a sandbox. */
const ALWAYS = ['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'LC_ALL', 'TZ']

/**
 * The environment of a step's programs, later ones winning: what the profile hands on of the server's, what the job sets, the run's arguments,
 * and where things are.
 */
export function environmentFor(
  { profile, env, inheritEnv }: Pick<JobStepParams, 'profile' | 'env' | 'inheritEnv'>,
  { env: args }: Pick<Binding, 'env'>,
  { run }: Pick<Places, 'run'>,
  server: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  return {
    PATH: SYSTEM_PATH,
    LANG: 'C.UTF-8',
    HOME: profile === 'secure' ? '/tmp' : run,
    ...handedOn(profile, inheritEnv, server),
    ...named(env),
    ...args,
    DATA_DIR: `${run}/data`,
    FLOWD_DATA_DIR: `${run}/data`,
    RUN_DIR: run,
    FLOWD_RUN_DIR: run,
    FLWD_RUN_DIR: run,
    FLWD_ARTIFACTS_DIR: `${run}/artifacts`,
    FLWD_SECRETS_DIR: `${run}/secrets`,
    FLWD_ARGS_FILE: `${run}/args.json`,
  }
}

function handedOn(
  profile: Profile,
  inheritEnv: boolean | readonly string[],
  server: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  if (profile === 'secure') return {}
  const isAll = profile === 'disabled' || inheritEnv === true
  const names = isAll ? Object.keys(server) : [...ALWAYS, ...(Array.isArray(inheritEnv) ? inheritEnv : [])]
  return named(Object.fromEntries(names.map((name) => [name, server[name]])))
}

/** Those that can be variables of an environment. */
function named(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const entries = Object.entries(env).filter(
    (entry): entry is [string, string] =>
      /^[A-Za-z_][A-Za-z0-9_]*$/.test(entry[0]) && entry[1] !== undefined && !entry[1].includes('\0'),
  )
  return Object.fromEntries(entries)
}

/** `[secret]` in the place of each secret. */
export function withoutSecrets(args: JsonObject, secretArgs: readonly string[]): JsonObject {
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => [name, secretArgs.includes(name) ? HIDDEN_ARGUMENT : value]),
  )
}
