import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Cgroup, type CgroupBases, foreignGroups } from './cgroups.js'
import { SMALL_LIMITS } from './process.fake.js'

/** A folder with the files of version 2 as the kernel documents them: few hosts that run tests hand its controllers on. */
let tree: string
let bases: CgroupBases

beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), 'millrace-cgroup2-'))
  bases = { version: 2, folders: [{ path: tree, controllers: ['memory', 'pids'] }] }
})

afterEach(() => rmSync(tree, { recursive: true, force: true }))

function made(of = bases): {
  group: Cgroup
  file: (name: string) => string
  put: (name: string, text: string) => void
} {
  const group = Cgroup.make(of, 'nonce', SMALL_LIMITS, 2)
  const folder = join(tree, readdirSync(tree).find((name) => name.endsWith('-nonce')) as string)
  return {
    group,
    file: (name) => readFileSync(join(folder, name), 'utf8'),
    put: (name, text) => writeFileSync(join(folder, name), text),
  }
}

describe('a control group of version 2', () => {
  it('limits memory and processes, with room for what isolates and for the one too many', () => {
    const { file } = made()
    expect(file('pids.max')).toBe('33')
    expect(file('memory.max')).toBe(`${(64 * 1.25 + 64) * 1024 * 1024}`)
    expect(file('memory.swap.max')).toBe('0')
    expect(file('memory.oom.group')).toBe('1')
  })

  it('tells what was used, who is in it, and how often memory ran out', () => {
    const { group, put } = made()
    expect(group.use()).toEqual({ cpuMs: undefined, processes: undefined, outOfMemory: 0 })
    put('pids.current', '7\n')
    put('cpu.stat', 'usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n')
    put('memory.events', 'low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n')
    put('cgroup.procs', '12\n13\n12\n')
    expect(group.use()).toEqual({ cpuMs: 1_500, processes: 7, outOfMemory: 2 })
    expect(group.members()).toEqual([12, 13])
    expect(group.doors).toEqual([expect.stringMatching(/-nonce\/cgroup\.procs$/)])
  })

  it('is killed as a whole', () => {
    const { group, file } = made()
    group.kill()
    expect(file('cgroup.kill')).toBe('1')
  })

  it('without controllers is still a group', () => {
    const { group, file, put } = made({ version: 2, folders: [{ path: tree, controllers: [] }] })
    expect(() => file('pids.max')).toThrow()
    expect(() => file('memory.max')).toThrow()
    put('cpu.stat', 'usage_usec 2000\n')
    expect(group.use()).toEqual({ cpuMs: 2, processes: undefined, outOfMemory: 0 })
  })

  it('of another server is told apart by its name', () => {
    made()
    mkdirSync(join(tree, 'millrace-4026531836.1.2-abc'))
    writeFileSync(join(tree, 'millrace-4026531836.1.2-abc/cgroup.procs'), '99\n')
    mkdirSync(join(tree, 'user.slice'))
    expect(foreignGroups(bases)).toEqual([
      { server: '4026531836.1.2', path: join(tree, 'millrace-4026531836.1.2-abc'), members: [99] },
    ])
  })
})
