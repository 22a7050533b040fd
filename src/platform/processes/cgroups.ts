import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { serverIdentity } from './marker.js'
import { numbers, read } from './proc-fs.js'
import type { ProcessLimits } from './profiles.js'

/** Of the names of the groups that servers make: `millrace-4026531836.812.95541-0f3a…`. */
const PREFIX = 'millrace-'

/**
 * What a group may have above the limit of memory, which the watchdog holds: it counts the cache of what is written too, and one that writes
 * faster than its disk shall not be killed for that.
 */
const HEADROOM = 1.25
const HEADROOM_MB = 64

/** A group may count its processes for a moment after the last was killed. */
const REMOVE_ATTEMPTS = 40
const REMOVE_EVERY_MS = 50

/** Folders of the kernel's in which this server may make groups. Version 1 has one for each resource, version 2 one for all. */
export interface CgroupBases {
  version: 1 | 2
  folders: readonly { path: string; controllers: readonly string[] }[]
}

/** What all processes of a group have used and met, as far as the kernel counts it. */
export interface CgroupUse {
  cpuMs?: number
  processes?: number
  /** Times that the kernel killed one of them for want of memory. */
  outOfMemory: number
}

/** Where groups can be made here; undefined where that is not so. Tried out, since a folder that looks writable may not be. */
export function findCgroups(): CgroupBases | undefined {
  const mounts = read('/proc/self/mountinfo') ?? ''
  const own = read('/proc/self/cgroup') ?? ''
  return versionOne(mounts, own) ?? versionTwo(mounts, own)
}

function versionOne(mounts: string, own: string): CgroupBases | undefined {
  const wanted = ['memory', 'pids', 'cpuacct']
  const folders = wanted.flatMap((controller) => {
    const line = own.split('\n').find((entry) => entry.split(':')[1]?.split(',').includes(controller))
    const mount = mountOf(mounts, 'cgroup', controller)
    const path = line && mount && usable(mount, line.split(':').slice(2).join(':'))
    return path ? [{ path, controllers: [controller] }] : []
  })
  const merged = [...Map.groupBy(folders, ({ path }) => path)].map(([path, entries]) => ({
    path,
    controllers: entries.flatMap(({ controllers }) => controllers),
  }))
  return merged.length > 0 ? { version: 1, folders: merged } : undefined
}

/** Without controllers a group still tells who belongs to it, and can be killed as a whole. */
function versionTwo(mounts: string, own: string): CgroupBases | undefined {
  const mount = mountOf(mounts, 'cgroup2')
  const line = own.split('\n').find((entry) => entry.startsWith('0::'))
  const path = line && mount && usable(mount, line.slice(3))
  if (!path) return undefined
  try {
    // Refused where processes are in the folder itself, as this server may be.
    writeFileSync(join(path, 'cgroup.subtree_control'), '+memory +pids')
  } catch {}
  const controllers = (read(join(path, 'cgroup.subtree_control')) ?? '').split(/\s+/).filter(Boolean)
  return { version: 2, folders: [{ path, controllers }] }
}

/** The mount point; of version 1 that of the controller. */
function mountOf(mounts: string, type: 'cgroup' | 'cgroup2', controller?: string): string | undefined {
  for (const line of mounts.split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const [kind, , options = ''] = after.split(' ')
    if (kind === type && (!controller || options.split(',').includes(controller))) return before.split(' ')[4]
  }
}

/** The server's own group below the mount, or the mount itself where that shows no more than the group. */
function usable(mount: string, group: string): string | undefined {
  return [join(mount, group), mount].find((path) => {
    const probe = join(path, `${PREFIX}${serverIdentity()}-${randomBytes(8).toString('hex')}`)
    try {
      mkdirSync(probe)
      rmdirSync(probe)
      return true
    } catch {
      return false
    }
  })
}

/** The control group of one step: its processes are born into it, cannot leave it, and are found by it whatever they call themselves. */
export class Cgroup {
  private constructor(
    private readonly bases: CgroupBases,
    private readonly name: string,
  ) {}

  static make(bases: CgroupBases, nonce: string, limits: ProcessLimits, ownProcesses: number): Cgroup {
    const group = new Cgroup(bases, `${PREFIX}${serverIdentity()}-${nonce}`)
    try {
      for (const path of group.paths) mkdirSync(path)
      group.limit(limits, ownProcesses)
    } catch (error) {
      for (const path of group.paths) removed(path)
      throw error
    }
    return group
  }

  /** Files that a process writes its id to in order to join. */
  get doors(): string[] {
    return this.paths.map((path) => join(path, 'cgroup.procs'))
  }

  members(): number[] {
    return [...new Set(this.doors.flatMap((door) => numbers(read(door) ?? '')))]
  }

  use(): CgroupUse {
    const [memory, cpu, pids] = [this.folderOf('memory'), this.folderOf('cpuacct'), this.folderOf('pids')]
    const events = memory && read(join(memory, this.bases.version === 1 ? 'memory.oom_control' : 'memory.events'))
    const nanoseconds = cpu && read(join(cpu, 'cpuacct.usage'))
    const microseconds = this.bases.version === 2 ? counted(read(join(this.path(0), 'cpu.stat')), 'usage_usec') : 0
    const processes = pids && read(join(pids, 'pids.current'))
    return {
      cpuMs: nanoseconds ? Number(nanoseconds) / 1e6 : microseconds > 0 ? microseconds / 1e3 : undefined,
      processes: processes ? Number(processes) : undefined,
      outOfMemory: counted(events, 'oom_kill'),
    }
  }

  /** Ends all its processes at once, where the kernel can do that. */
  kill(): void {
    if (this.bases.version === 2) written(join(this.path(0), 'cgroup.kill'), '1')
  }

  async remove(): Promise<void> {
    for (let attempt = 1; attempt <= REMOVE_ATTEMPTS; attempt++) {
      if (this.paths.map(removed).every(Boolean)) return
      await delay(REMOVE_EVERY_MS)
    }
  }

  private limit({ memoryMb, processes }: ProcessLimits, ownProcesses: number): void {
    const bytes = `${Math.ceil(memoryMb * HEADROOM + HEADROOM_MB) * 1024 * 1024}`
    const [memory, pids] = [this.folderOf('memory'), this.folderOf('pids')]
    // Room for those that isolate, and for one too many: that is the one by which it is seen that there are too many.
    if (pids) writeFileSync(join(pids, 'pids.max'), `${processes + ownProcesses + 1}`)
    if (!memory) return
    if (this.bases.version === 1) {
      writeFileSync(join(memory, 'memory.limit_in_bytes'), bytes)
      // Not there where the kernel does not count swap.
      written(join(memory, 'memory.memsw.limit_in_bytes'), bytes)
    } else {
      writeFileSync(join(memory, 'memory.max'), bytes)
      written(join(memory, 'memory.swap.max'), '0')
      written(join(memory, 'memory.oom.group'), '1')
    }
  }

  private get paths(): string[] {
    return this.bases.folders.map(({ path }) => join(path, this.name))
  }

  private path(index: number): string {
    return this.paths[index] as string
  }

  private folderOf(controller: string): string | undefined {
    const folder = this.bases.folders.find(({ controllers }) => controllers.includes(controller))
    return folder && join(folder.path, this.name)
  }
}

/** Groups that other servers made: the name of the server, and the group's processes. */
export function foreignGroups(bases: CgroupBases): { server: string; path: string; members: number[] }[] {
  return bases.folders.flatMap(({ path }) => {
    let names: string[] = []
    try {
      names = readdirSync(path)
    } catch {}
    return names.flatMap((name) => {
      const server = /^millrace-(\d+\.\d+\.\d+)-/.exec(name)?.[1]
      if (!server || server === serverIdentity()) return []
      const group = join(path, name)
      return [{ server, path: group, members: numbers(read(join(group, 'cgroup.procs')) ?? '') }]
    })
  })
}

/** False where it is still in use. */
export function removed(path: string): boolean {
  try {
    rmdirSync(path)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

function written(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch {}
}

function counted(text: string | undefined, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text ?? '')?.[1] ?? 0)
}
