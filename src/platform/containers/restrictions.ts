import { realpath } from 'node:fs/promises'
import { isAbsolute, normalize, sep } from 'node:path'
import { ContainerError } from './container-error.js'
import type { ContainerMount } from './container-order.js'

/**
 * What a job may have back of the capabilities that all are taken from it: those that end at its own files, users, processes and ports. None
 * that loads modules, mounts, traces, or sees of the host's network or devices.
 */
const ALLOWED_CAPABILITIES: readonly string[] = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'NET_BIND_SERVICE',
  'SETGID',
  'SETUID',
]

/** `CAP_CHOWN`, `chown` and `CHOWN` are one. Throws for those that are not allowed. */
export function allowedCapabilities(asked: readonly string[]): string[] {
  return asked.map((name) => {
    const plain = name.toUpperCase().replace(/^CAP_/, '')
    if (ALLOWED_CAPABILITIES.includes(plain)) return plain
    const shown = JSON.stringify(name.slice(0, 40))
    throw refused(`the capability ${shown} is not allowed; allowed are ${ALLOWED_CAPABILITIES.join(', ')}`)
  })
}

/** Places in a container that nothing of the host is mounted at: what the runtime itself puts there keeps the container in. */
const KEPT = ['/proc', '/sys', '/dev', '/etc', '/bin', '/sbin', '/usr', '/lib', '/lib64']

/**
 * The second door behind whoever makes the mounts: with links followed, all are below the folders that are there for it, so that no mistake
 * above hands the runtime's socket or the host's files in. Gives back their true paths.
 */
export async function allowedMounts(
  mounts: readonly ContainerMount[],
  roots: readonly string[],
): Promise<ContainerMount[]> {
  const trueRoots = await Promise.all(roots.map((root) => realpath(root).catch(() => undefined)))
  return await Promise.all(
    mounts.map(async (mount) => {
      const { target } = mount
      const inKept = KEPT.some((kept) => target === kept || target.startsWith(`${kept}/`))
      if (!isAbsolute(target) || normalize(target) !== target || target === '/' || inKept) {
        throw refused(`nothing is mounted at ${JSON.stringify(target.slice(0, 100))}`)
      }
      const source = await realpath(mount.source).catch(() => undefined)
      if (!source) throw refused(`what is mounted at ${target} does not exist`)
      if (!trueRoots.some((root) => root && source.startsWith(root + sep))) {
        throw refused(`what is mounted at ${target} is outside of the folders of runs and jobs`)
      }
      return { ...mount, source }
    }),
  )
}

function refused(message: string): ContainerError {
  return new ContainerError('container.refused', message)
}
