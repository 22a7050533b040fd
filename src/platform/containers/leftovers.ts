import { isGone } from '../processes/marker.js'
import { type ContainerRuntime, RUN_LABEL, SERVER_LABEL } from './container-runtime.js'

/** Those of these runs that are known and that nobody works on. */
export type IdleRuns = (runIds: string[]) => Promise<Iterable<string>>

/**
 * Removes containers that nobody waits for any more, and tells how many there were: those of a server of this host that is gone, and those of
 * runs that no server works on, which is how the ones of a server are known that lived in a namespace of processes of its own, such as in a
 * container, or that lost its runs to another. The runs are asked after the containers were listed: a step that starts meanwhile is not met.
 */
export async function removeLeftovers(runtime: ContainerRuntime, idleRuns: IdleRuns): Promise<number> {
  const containers = await runtime.owned()
  if (containers.length === 0) return 0
  const runIds = new Set(containers.flatMap(({ labels }) => labels[RUN_LABEL] ?? []))
  const idle = new Set(await idleRuns([...runIds]))
  const left = containers.filter(
    ({ labels }) => isGone(labels[SERVER_LABEL] ?? '') || idle.has(labels[RUN_LABEL] ?? ''),
  )
  await Promise.all(left.map(({ id }) => runtime.remove(id)))
  return left.length
}
