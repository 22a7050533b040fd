import { describe, expect, it } from 'vitest'
import { isGone, markIn, newMark, parsedMark, serverIdentity, spelled } from './marker.js'
import { parsedStat } from './proc-fs.js'

describe('the mark of a process', () => {
  it('is found in an environment, and nothing that only looks like it', () => {
    const mark = newMark('run_01J')
    expect(parsedMark(spelled(mark))).toEqual(mark)
    expect(markIn(`PATH=/bin\0MILLRACE_PROCESS=${spelled(mark)}\0HOME=/`)).toEqual(mark)
    expect(markIn(`MILLRACE_PROCESS=${spelled(mark)}`)).toEqual(mark)
    expect(markIn(`X=MILLRACE_PROCESS=${spelled(mark)}\0`)).toBeUndefined()
    expect(markIn('MILLRACE_PROCESS=1.2.3_short_run\0')).toBeUndefined()
  })

  it('tells of a server that is gone, also where another has its id now', () => {
    const [namespace, pid, startedAt] = serverIdentity().split('.')
    expect(isGone(serverIdentity())).toBe(false)
    expect(isGone(`${namespace}.${pid}.${Number(startedAt) + 1}`)).toBe(true)
    expect(isGone(`${namespace}.${2 ** 22 + 1}.1`)).toBe(true)
    // Of another namespace nothing is known.
    expect(isGone(`${Number(namespace) + 1}.${2 ** 22 + 1}.1`)).toBe(false)
  })

  it('is not misled by the name that a process gives itself', () => {
    const stat = parsedStat(7, `7 (a) R 1 (x) S 3 7 7 0 -1 0 0 0 0 0 10 20 30 40 20 0 5 0 999 0`)
    expect(stat).toEqual({ pid: 7, state: 'S', parent: 3, cpuTicks: 30, childTicks: 70, threads: 5, startedAt: 999 })
  })
})
