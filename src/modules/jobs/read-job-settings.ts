import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Cursor } from '../../definitions/yaml/cursor.js'
import { type FaultList, quote } from '../../definitions/yaml/faults.js'
import { defaultLimits, type Limits } from '../../definitions/yaml/limits.js'
import { readYaml } from '../../definitions/yaml/read-yaml.js'
import { Reader } from '../../definitions/yaml/reader.js'
import { ConfigError } from '../../platform/config/config.js'
import { DEFAULT_LIMITS, PROFILES, type ProcessLimits, type Profile } from '../../platform/processes/profiles.js'
import { gitUrlFault, isGitRef } from './git-addresses.js'
import { imageOf } from './image-reference.js'
import { idOf } from './job-ids.js'
import { JobSettings, type JobSource, type ProfilePolicy, type RegistrySource } from './job-settings.js'

const LIMITS: Limits = { ...defaultLimits, noun: 'a list of job sources', bytes: 262_144, values: 20_000 }
const NAME = {
  pattern: /^[A-Za-z0-9][\w.-]{0,63}$/,
  meaning: 'of letters, digits, _, . and -, and begin with a letter or digit',
}
const TENANT = { pattern: /^[A-Za-z0-9][\w.-]{0,127}$/, meaning: 'the name of a tenant' }
const POLL_MS = 60_000
const SHORTEST_POLL_MS = 1_000

const NONE = new JobSettings([], DEFAULT_LIMITS, {
  default: 'secure',
  jobs: ['secure', 'permissive'],
  requests: ['secure'],
})

/** Reads the file that `JOB_SOURCES` names. Throws `ConfigError` with every fault of it. */
export function readJobSettings(file: string | undefined, environment: Environment = {}): JobSettings {
  if (file === undefined) return NONE
  const reading = readYaml(textOf(file), LIMITS, (root, faults) =>
    settingsOf(root, faults, dirname(resolve(file)), environment),
  )
  if (reading.ok) return reading.value
  throw new ConfigError(
    reading.faults.map(({ line, path, detail }) => `JOB_SOURCES, line ${line}${path && ` (${path})`}: ${detail}`),
  )
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError([`JOB_SOURCES cannot be read: ${(error as Error).message}`])
  }
}

function settingsOf(
  root: Cursor,
  faults: FaultList,
  folder: string,
  environment: Environment,
): JobSettings | undefined {
  const reader = new Reader(faults)
  if (root.value && !reader.mapping(root, 'the file', ['sources', 'limits', 'profiles'])) return undefined
  const sources = reader
    .list(root.member('sources'), 'sources')
    .flatMap((item) => sourceOf(item, reader, folder, environment) ?? [])
  for (const [at, { name }] of sources.entries())
    if (sources.findIndex((one) => one.name === name) !== at)
      reader.complain(root.member('sources'), 'duplicate', `there are two sources ${quote(name)}`)
  const limits = root.member('limits')
  return new JobSettings(
    sources,
    limitsOf(limits, reader),
    policyOf(root.member('profiles'), reader),
    requestsOf(limits, reader),
  )
}

const KEYS = {
  fs: ['path', 'watch'],
  git: ['url', 'ref', 'poll_interval', 'pollInterval', 'watch'],
  oci: ['path', 'watch'],
  registry: ['image', 'plain_http', 'username', 'password_env', 'poll_interval', 'pollInterval'],
}

type Environment = Readonly<Record<string, string | undefined>>

function sourceOf(cursor: Cursor, reader: Reader, folder: string, environment: Environment): JobSource | undefined {
  if (!reader.mapping(cursor, 'a source')) return reader.complain(cursor, 'type', 'a source must be a mapping')
  const required = (key: string) => {
    if (!cursor.member(key).value) reader.complain(cursor.member(key), 'required', `a source needs ${key}`, 'key')
  }
  const type = reader.oneOf(cursor.member('type'), 'type', ['fs', 'git', 'oci'])
  required('type')
  required('name')
  const name = reader.text(cursor.member('name'), 'the name of a source', NAME)
  if (!type) return undefined
  const keys = type === 'oci' && cursor.member('image').value ? KEYS.registry : KEYS[type]
  reader.mapping(cursor, `a source of type ${type}`, ['name', 'type', 'mountPath', 'tenant', ...keys])
  const mounted = reader.text(cursor.member('mountPath'), 'mountPath') ?? '.'
  const mountPath = mountPathOf(mounted)
  if (mountPath === undefined)
    reader.complain(cursor.member('mountPath'), 'path', "mountPath must be '.' or a path such as team/backup")
  const shared = {
    name: name ?? '',
    tenantId: reader.text(cursor.member('tenant'), 'tenant', TENANT) ?? null,
    mountPath: mountPath ?? '',
  }
  if (type === 'git') {
    required('url')
    return { type, ...shared, ...gitOf(cursor, reader) }
  }
  if (cursor.member('image').value) return registryOf(cursor, reader, shared, environment)
  required('path')
  const path = resolve(folder, reader.text(cursor.member('path'), 'path') ?? '.')
  const watch = reader.flag(cursor.member('watch'), 'watch') ?? true
  return type === 'fs' ? { type, ...shared, path, watch } : { type, ...shared, path, watch }
}

function gitOf(cursor: Cursor, reader: Reader): { url: string; ref: string | null; pollMs: number } {
  const url = reader.text(cursor.member('url'), 'url') ?? ''
  const fault = url && gitUrlFault(url)
  if (fault) reader.complain(cursor.member('url'), 'url', fault)
  const ref = reader.text(cursor.member('ref'), 'ref') ?? null
  if (ref !== null && !isGitRef(ref))
    reader.complain(cursor.member('ref'), 'ref', 'ref must be the name of a branch or tag, or a commit')
  return { url, ref, pollMs: pollOf(cursor, reader) }
}

function pollOf(cursor: Cursor, reader: Reader): number {
  const interval = cursor.member('poll_interval').value ? cursor.member('poll_interval') : cursor.member('pollInterval')
  const pollMs = reader.duration(interval, 'poll_interval') ?? POLL_MS
  if (pollMs < SHORTEST_POLL_MS) reader.complain(interval, 'range', 'poll_interval must be at least 1s')
  return pollMs
}

function registryOf(
  cursor: Cursor,
  reader: Reader,
  shared: Pick<RegistrySource, 'name' | 'tenantId' | 'mountPath'>,
  environment: Environment,
): RegistrySource | undefined {
  const image = imageOf(reader.text(cursor.member('image'), 'image') ?? '')
  if (!image)
    reader.complain(
      cursor.member('image'),
      'image',
      'image must be host/name@sha256:… or host/name:tag, with the host of its registry',
    )
  const plainHttp = reader.flag(cursor.member('plain_http'), 'plain_http') ?? false
  const credentials = credentialsOf(cursor, reader, environment)
  const pollMs = pollOf(cursor, reader)
  return image && { type: 'oci', ...shared, image, plainHttp, credentials, pollMs }
}

/** The password stands in the server's environment, so that the file holds none. */
function credentialsOf(cursor: Cursor, reader: Reader, environment: Environment): RegistrySource['credentials'] {
  const username = reader.text(cursor.member('username'), 'username')
  const variable = reader.text(cursor.member('password_env'), 'password_env', {
    pattern: /^[A-Za-z_]\w{0,127}$/,
    meaning: 'the name of an environment variable',
  })
  if (username === undefined && variable === undefined) return null
  if (username === undefined || variable === undefined)
    return reader.complain(cursor, 'required', 'username and password_env stand together') ?? null
  const password = environment[variable]
  if (!password)
    return reader.complain(cursor.member('password_env'), 'unset', `${variable} is not set in the environment`) ?? null
  return { username, password, variable }
}

/** Undefined where it is no path that ids can begin with. */
function mountPathOf(path: string): string | undefined {
  if (path === '.' || path === '') return ''
  const parts = path.split('/').filter((part) => part !== '')
  if (path.startsWith('/') || parts.some((part) => part === '.' || part === '..')) return undefined
  return idOf('', parts.join('/'))
}

const LIMIT_KEYS = ['cpuSeconds', 'memoryMb', 'processes', 'fileMb', 'openFiles', 'wall'] as const

function limitsOf(cursor: Cursor, reader: Reader): Readonly<Record<Profile, ProcessLimits>> {
  reader.mapping(cursor, 'limits', PROFILES)
  const own = (profile: Profile): ProcessLimits => {
    const given = cursor.member(profile)
    const what = `limits of ${profile}`
    const known = DEFAULT_LIMITS[profile]
    if (!reader.mapping(given, what, [...LIMIT_KEYS, 'requestsPerMinute'])) return known
    const whole = (key: Exclude<(typeof LIMIT_KEYS)[number], 'wall'>, most: number) =>
      reader.number(given.member(key), key, [1, most]) ?? known[key]
    return {
      cpuSeconds: whole('cpuSeconds', 10_000_000),
      memoryMb: whole('memoryMb', 10_000_000),
      processes: whole('processes', 1_000_000),
      fileMb: whole('fileMb', 10_000_000),
      openFiles: whole('openFiles', 1_000_000),
      wallMs: reader.duration(given.member('wall'), 'wall') ?? known.wallMs,
    }
  }
  return { secure: own('secure'), permissive: own('permissive'), disabled: own('disabled') }
}

function requestsOf(limits: Cursor, reader: Reader): Partial<Record<Profile, number>> {
  const given = (profile: Profile) => {
    const limit = reader.number(limits.member(profile).member('requestsPerMinute'), 'requestsPerMinute', [1, 1_000_000])
    return limit === undefined ? [] : [[profile, limit] as const]
  }
  return Object.fromEntries(PROFILES.flatMap(given))
}

function policyOf(cursor: Cursor, reader: Reader): ProfilePolicy {
  reader.mapping(cursor, 'profiles', ['default', 'jobs', 'requests'])
  const listed = (key: 'jobs' | 'requests'): readonly Profile[] => {
    const given = cursor.member(key)
    if (!given.value) return NONE.profiles[key]
    return reader.list(given, key).flatMap((item) => reader.oneOf(item, `an entry of ${key}`, PROFILES) ?? [])
  }
  return {
    default: reader.oneOf(cursor.member('default'), 'default', PROFILES) ?? NONE.profiles.default,
    jobs: listed('jobs'),
    requests: listed('requests'),
  }
}
