import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type CgroupBases, foreignGroups, removed } from './cgroups.js'
import { isGone, serverIdentity } from './marker.js'
import { descendants, signal } from './proc-fs.js'
import { marked } from './tree.js'

/** Until all have gone. */
const ATTEMPTS = 100
const LOOK_MS = 20

/**
 * Kills what servers that are gone left running on this host: found by the mark in their environment and by the control groups that were
 * theirs. Answers how many there were. Servers in other namespaces of processes, such as other containers, see to their own.
 */
export async function killOrphans(cgroups: CgroupBases | undefined): Promise<number> {
  const killed = new Set<number>()
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const groups = cgroups ? foreignGroups(cgroups).filter(({ server }) => isGone(server)) : []
    const roots = [...(await marked(({ server }) => isGone(server))), ...groups.flatMap(({ members }) => members)]
    const alive = descendants(roots).filter(({ state }) => state !== 'Z' && state !== 'X')
    for (const { pid } of alive) signal(pid, 'SIGSTOP')
    for (const { pid } of alive) {
      signal(pid, 'SIGKILL')
      killed.add(pid)
    }
    const gone = groups.map(({ path }) => removed(path)).every(Boolean)
    if (alive.length === 0 && gone) break
    await delay(LOOK_MS)
  }
  return killed.size
}

/** Of the names of the folders in which a server keeps what a step needs meanwhile. */
export function controlPrefix(): string {
  return `step-${serverIdentity()}-`
}

/** Removes those of servers that are gone. */
export async function removeControlFolders(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const server = /^step-(\d+\.\d+\.\d+)-/.exec(name)?.[1]
    if (server && isGone(server)) await rm(join(folder, name), { recursive: true, force: true })
  }
}
