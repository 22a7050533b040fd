import { PROFILES, type Profile } from '../../platform/processes/profiles.js'
import type { JobContainer } from '../../steps/process/job-step.js'
import type { Cursor } from '../yaml/cursor.js'
import { quote } from '../yaml/faults.js'
import type { Reader } from '../yaml/reader.js'
import type { ErrorPolicy } from './config.js'

const IMAGE = { pattern: /^[a-z0-9][a-z0-9._/:@-]{0,254}$/i, meaning: 'a reference of an image, such as alpine:3.20' }
const PROGRAM = { pattern: /^[^\s-]\S*$/, meaning: 'a program' }
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/
const CAPABILITY = { pattern: /^[A-Z][A-Z_]{1,39}$/, meaning: 'a capability, such as NET_BIND_SERVICE' }
const IN_CONTAINER = 'container:'
const MIB: Readonly<Record<string, number>> = {
  '': 1 / 1_048_576,
  k: 1 / 1_024,
  ki: 1 / 1_024,
  m: 1,
  mi: 1,
  g: 1_024,
  gi: 1_024,
}
const ULC: Readonly<Record<string, string[]>> = {
  'ulc.shell.bash': ['/bin/bash'],
  'ulc.shell.pwsh': ['/usr/bin/env', 'pwsh'],
  'ulc.python.3': ['/usr/bin/env', 'python3'],
}

export interface Execution {
  interpreter: string[] | null
  container: JobContainer | null
}

/** What the scripts are run by, and whether in a container. */
export function readExecution(root: Cursor, reader: Reader): Execution {
  const { command, image } = interpreterOf(root, reader)
  const executor = reader.oneOf(root.member('executor'), 'executor', ['proc', 'container'])
  const settings = root.member('container')
  const own = settings.value && reader.mapping(settings, 'container', CONTAINER) ? settings : undefined
  const named =
    reader.text(root.member('image'), 'image', IMAGE) ?? (own && reader.text(own.member('image'), 'image', IMAGE))
  const isContainer = executor === 'container' || (executor === undefined && (image !== undefined || !!named || !!own))
  if (!isContainer) {
    for (const member of [root.member('image'), settings])
      if (member.value) reader.complain(member, 'conflict', 'an image is for the executor container', 'key')
    if (image !== undefined)
      reader.complain(root.member('interpreter'), 'conflict', 'a container is for the executor container')
    return { interpreter: command, container: null }
  }
  const chosen = named ?? image
  if (chosen === undefined) {
    const given = root.member('image').value ?? own?.member('image').value
    if (!given && !root.member('interpreter').string?.startsWith(IN_CONTAINER))
      reader.complain(root.member('image'), 'required', 'the executor container needs an image', 'key')
    return { interpreter: command, container: null }
  }
  return {
    interpreter: command ?? ['/bin/sh'],
    container: containerOf(chosen, own ?? root.member('container'), reader),
  }
}

function interpreterOf(root: Cursor, reader: Reader): { command: string[] | null; image?: string } {
  const profile = root.member('ulc_profile')
  const ulc = reader.oneOf(profile, 'ulc_profile', Object.keys(ULC))
  const cursor = root.member('interpreter')
  const text = reader.text(cursor, 'interpreter')
  if (text !== undefined && profile.value)
    reader.complain(cursor, 'conflict', 'take either interpreter or ulc_profile', 'key')
  if (text?.startsWith(IN_CONTAINER)) {
    const image = text.slice(IN_CONTAINER.length)
    if (IMAGE.pattern.test(image)) return { command: null, image }
    reader.complain(cursor, 'pattern', `interpreter must name ${IMAGE.meaning}, behind ${IN_CONTAINER}`)
    return { command: null }
  }
  if (text === undefined) return { command: ulc === undefined ? null : (ULC[ulc] as string[]) }
  const words = text.trim().split(/\s+/)
  const [program = ''] = words
  if (!PROGRAM.pattern.test(program) || words.length > 20) {
    reader.complain(
      cursor,
      'pattern',
      `interpreter must be ${PROGRAM.meaning}, such as /bin/bash or /usr/bin/env python3`,
    )
    return { command: null }
  }
  return { command: program.startsWith('/') ? words : ['/usr/bin/env', ...words] }
}

const CONTAINER = ['image', 'resources', 'network', 'rootfs_writable', 'capabilities', 'extra_args', 'entrypoint']

function containerOf(image: string, cursor: Cursor, reader: Reader): JobContainer {
  const resources = cursor.member('resources')
  reader.mapping(resources, 'resources', ['cpu', 'memory'])
  if (cursor.member('extra_args').value)
    reader.complain(
      cursor.member('extra_args'),
      'not_offered',
      'arguments for the container engine are not taken',
      'key',
    )
  const entrypoint = cursor.member('entrypoint')
  const program = entrypoint.string === undefined ? reader.texts(entrypoint, 'entrypoint') : [entrypoint.string]
  return {
    image,
    entrypoint: program.length > 0 ? program : null,
    cpus: cpusOf(resources.member('cpu'), reader),
    memoryMb: memoryOf(resources.member('memory'), reader),
    network: reader.oneOf(cursor.member('network'), 'network', ['none', 'bridge', 'host']) ?? 'none',
    rootfsWritable: reader.flag(cursor.member('rootfs_writable'), 'rootfs_writable') ?? false,
    capabilities: reader.texts(cursor.member('capabilities'), 'capabilities', CAPABILITY),
  }
}

/** Of `2`, `0.5` or `500m`. */
function cpusOf(cursor: Cursor, reader: Reader): number | null {
  const text = reader.text(cursor, 'cpu')
  if (text === undefined) return null
  const [, number, milli] = /^(\d+(?:\.\d+)?)(m?)$/.exec(text) ?? []
  const cpus = Number(number) / (milli ? 1_000 : 1)
  if (cpus >= 0.01 && cpus <= 1_024) return cpus
  reader.complain(cursor, 'pattern', 'cpu must be a number of processors, such as 0.5 or 500m')
  return null
}

/** Of `512m`, `512Mi`, `1g` or bytes. */
function memoryOf(cursor: Cursor, reader: Reader): number | null {
  const text = reader.text(cursor, 'memory')
  if (text === undefined) return null
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)([kmg]i?|)b?$/i.exec(text) ?? []
  const mib = Number(number) * (MIB[unit.toLowerCase()] ?? Number.NaN)
  if (mib >= 4 && mib <= 1_048_576) return Math.round(mib)
  reader.complain(cursor, 'pattern', 'memory must be an amount from 4 MiB on, such as 512m or 1g')
  return null
}

export function readProfile(root: Cursor, reader: Reader): Profile | null {
  const exec = reader.oneOf(root.member('exec_profile'), 'exec_profile', ['standard', 'privileged'])
  if (exec === 'privileged')
    reader.complain(root.member('exec_profile'), 'not_offered', 'privileged execution is not offered here')
  return reader.oneOf(root.member('security_profile'), 'security_profile', PROFILES) ?? null
}

export function readEnv(cursor: Cursor, reader: Reader): Record<string, string> {
  if (!reader.mapping(cursor, 'env')) return {}
  const env: Record<string, string> = {}
  for (const [name, member] of cursor.members) {
    if (!VARIABLE.test(name)) {
      reader.complain(member, 'pattern', `a variable's name is of letters, digits and _: ${quote(name)} is not`, 'key')
      continue
    }
    env[name] = reader.text(member, `env ${name}`) ?? ''
  }
  return env
}

export function readInheritance(cursor: Cursor, reader: Reader): boolean | string[] {
  if (!cursor.value) return false
  if (cursor.value.kind !== 'list') return reader.flag(cursor, 'env_inheritance') ?? false
  return reader.texts(cursor, 'env_inheritance', { pattern: VARIABLE, meaning: 'the name of a variable' })
}

export function readErrorPolicy(cursor: Cursor, reader: Reader): ErrorPolicy {
  const none: ErrorPolicy = { policy: 'abort', retries: 0, backoffMs: 0 }
  if (!reader.mapping(cursor, 'error_handling', ['policy', 'retries', 'retry_backoff'])) return none
  const policy = reader.oneOf(cursor.member('policy'), 'policy', ['abort', 'continue', 'retry']) ?? none.policy
  const retries = reader.number(cursor.member('retries'), 'retries', [0, 100])
  const backoff = reader.number(cursor.member('retry_backoff'), 'retry_backoff', [0, 86_400], false)
  if (policy === 'retry') return { policy, retries: retries ?? 3, backoffMs: Math.round((backoff ?? 0) * 1_000) }
  for (const name of ['retries', 'retry_backoff'])
    if (cursor.member(name).value)
      reader.complain(cursor.member(name), 'conflict', `${name} is for the policy retry`, 'key')
  return { ...none, policy }
}
