import { afterAll, describe, expect, it } from 'vitest'
import { ScriptRuns } from './process.fake.js'
import { PROFILES } from './profiles.js'

const runs = new ScriptRuns()
const { secureFault } = await runs.runner.isolation()
afterAll(() => runs.close())

describe.each(PROFILES)('a program under %s', (profile) => {
  describe.skipIf(profile === 'secure' && secureFault !== undefined)('', () => {
    it('is heard line by line, and tells how it ended', async () => {
      const end = await runs.run(profile, 'echo out; echo err >&2; echo anew > /dev/stdout; printf rest; exit 3')
      expect(end).toMatchObject({ exitCode: 3, limit: undefined, wasTold: false, left: 0, shortened: [] })
      expect(end.stdout).toEqual(['out', 'anew', 'rest'])
      expect(end.stderr).toEqual(['err'])
    })

    it('has the environment that it is given, and no other', async () => {
      process.env.MILLRACE_TEST_SECRET = 'hush'
      const env = { PATH: '/usr/bin:/bin', GREETING: "it's\n$HOME" }
      const { stdout } = await runs.run(profile, 'echo "$GREETING"; env -u GREETING', { env })
      expect(stdout.slice(0, 2)).toEqual(["it's", '$HOME'])
      const names = stdout.slice(2).map((line) => line.split('=')[0])
      expect(
        names.filter((name) => !['PATH', 'PWD', 'SHLVL', '_', 'MILLRACE_PROCESS', 'OLDPWD'].includes(name ?? '')),
      ).toEqual([])
    })

    it('has no descriptors of the server', async () => {
      const { stdout } = await runs.run(profile, 'readlink /proc/self/fd/*')
      expect(stdout.filter((path) => !/^(\/dev\/null|\/proc\/.*|.*\/std(out|err))$/.test(path))).toEqual([])
    })

    it('is told to end, and made to where it does not', async () => {
      const polite = new AbortController()
      const ends = runs.run(profile, 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done', {
        signal: polite.signal,
        onLine: (_, { text }) => void (text === 'up' && polite.abort()),
      })
      expect(await ends).toMatchObject({ exitCode: 0, wasTold: true, left: 0 })

      const deaf = new AbortController()
      const killed = runs.run(profile, 'trap "" TERM; echo up; while :; do sleep 0.05; done', {
        signal: deaf.signal,
        graceMs: 100,
        onLine: (_, { text }) => void (text === 'up' && deaf.abort()),
      })
      expect(await killed).toMatchObject({ signal: 'SIGKILL', wasTold: true, left: 0 })
    })

    it('stops writing while nobody reads', async () => {
      let told = 0
      let most = 0
      await runs.run(profile, 'for i in $(seq 3); do head -c 60000 /dev/zero | tr "\\0" x; echo; done', {
        onLine: async (channel) => {
          if (channel !== 'stdout') return
          most = Math.max(most, ++told)
          await new Promise((resolve) => setImmediate(resolve))
          told--
        },
      })
      expect(most).toBe(1)
    })
  })
})
