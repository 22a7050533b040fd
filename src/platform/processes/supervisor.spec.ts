import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { probeIsolation } from './isolation.js'
import { ScriptRuns } from './process.fake.js'
import { supervised } from './supervisor.js'

const { canSupervise } = await probeIsolation({ useCgroups: false })
const runs = new ScriptRuns({ useCgroups: false })
let word = 0

afterAll(() => runs.close())

/** Commands of this host that hold a word. */
function withWord(text: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return []
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      return line.includes(text) && !line.includes('keep') ? [line] : []
    } catch {
      return []
    }
  })
}

describe.skipIf(!canSupervise)('without control groups, a program under disabled', () => {
  const seconds = () => `4${process.pid}${++word}`

  it.each([
    ['clears its environment and opens a session', (n: string) => `env -i setsid sleep ${n} &`],
    ['does so twice removed', (n: string) => `(env -i setsid sh -c "setsid sleep ${n} & exit" &)`],
    [
      'is a daemon that starts daemons',
      (n: string) => `env -i setsid sh -c 'for i in 1 2 3 4; do setsid sleep ${n} & done' &`,
    ],
    ['is deaf', (n: string) => `env -i setsid sh -c 'trap "" TERM HUP; sleep ${n}; sleep ${n}' &`],
  ])('leaves nothing that %s', async (_, script) => {
    const n = seconds()
    const { exitCode } = await runs.run('disabled', `: keep; ${script(n)}\nexit 7`)
    expect(exitCode).toBe(7)
    expect(withWord(`sleep ${n}`)).toEqual([])
  })

  it('leaves nothing either when it is told to end', async () => {
    const n = seconds()
    const stop = new AbortController()
    const end = await runs.run('disabled', `: keep; env -i setsid sleep ${n} & echo there; wait; sleep ${n}`, {
      signal: stop.signal,
      onLine: () => stop.abort(),
    })
    expect(end).toMatchObject({ wasTold: true })
    expect(withWord(`sleep ${n}`)).toEqual([])
  })

  it('ends as itself, with its descriptors, arguments and signals', async () => {
    const { stdout, exitCode, signal } = await runs.run('disabled', 'echo "$0:$#"; kill -SEGV $$')
    expect([stdout, exitCode, signal]).toEqual([['/bin/bash:0'], 139, 'SIGSEGV'])
    expect((await runs.run('disabled', 'cat; exit 0')).exitCode).toBe(0)
  })
})

it('says what is not known of a machine', () => {
  expect(supervised(['true'], 'mips')).toBeUndefined()
})

describe.skipIf(!canSupervise)('a supervisor', () => {
  it('is deaf to all but KILL while its program is there', async () => {
    const [perl = '', ...args] = supervised(['/bin/sh', '-c', 'echo there; read line; exit 5']) ?? []
    const child = spawn(perl, args, { stdio: ['pipe', 'pipe', 'ignore'] })
    await once(child.stdout, 'data')
    for (const one of ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGUSR1'] as const) child.kill(one)
    child.stdin.end('go on\n')
    expect(await once(child, 'exit')).toEqual([5, null])
  })
})
