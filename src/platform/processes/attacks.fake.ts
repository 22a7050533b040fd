import { randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { allPids, environmentOf } from './proc-fs.js'
import { type Ran, ScriptRuns } from './process.fake.js'
import type { ProcessLimits, Profile } from './profiles.js'
import type { Limit } from './watchdog.js'

/** What a program does that its host must survive. */
export interface Attack {
  script: string
  limits?: Partial<ProcessLimits>
  /** Ended by this; absent: by itself. */
  endedBy?: readonly Limit[]
  /** Where it is held: everywhere unless said. */
  needs?: (profile: Profile, host: { hasCgroups: boolean; isRoot: boolean }) => boolean
}

/** `TOKEN` is a word of the attack's own, by which its processes are found. */
export const ATTACKS: Readonly<Record<string, Attack>> = {
  'a fork bomb': {
    script: 'echo TOKEN > /dev/null; bomb() { bomb | bomb & }; bomb; sleep 60',
    limits: { processes: 20, wallMs: 10_000 },
    // What is kept from forking may give up, and then it only sleeps.
    endedBy: ['processes', 'cpu', 'wall'],
    needs: (profile, { hasCgroups, isRoot }) =>
      hasCgroups || profile === 'secure' || (profile === 'permissive' && !isRoot),
  },
  'a crowd of sleepers': {
    script: 'for i in $(seq 60); do bash -c "exec -a TOKEN sleep 600" & done; wait',
    limits: { processes: 20 },
    endedBy: ['processes'],
  },
  'a file of 10 GB': {
    script: 'head -c 10G /dev/zero > big; truncate -s 10G sparse; fallocate -l 10G full; exit 0',
    limits: { fileMb: 16 },
    endedBy: ['disk'],
  },
  'file after file': {
    script: 'for ((i = 0; i < 1000000; i++)); do head -c 4M /dev/zero > "f$i"; done',
    endedBy: ['disk'],
  },
  'a million tiny files': {
    script: 'for ((i = 0; i < 1000000; i++)); do : > "f$i"; done',
    limits: { fileMb: 8 },
    endedBy: ['disk'],
  },
  'a hog of memory': {
    script: 'a=x; while :; do a=$a$a; done',
    endedBy: ['memory'],
  },
  'a crowd of hogs': {
    script:
      "for i in 1 2 3 4; do bash -c 'a=x; for i in $(seq 24); do a=$a$a; done; exec -a TOKEN sleep 600' & done; wait",
    endedBy: ['memory'],
  },
  'a spinner': {
    script: 'while :; do :; done & while :; do :; done',
    limits: { cpuSeconds: 1 },
    endedBy: ['cpu'],
  },
  'spinners one after the other': {
    script: 'while :; do timeout -s KILL 0.4 bash -c "while :; do :; done"; done',
    limits: { cpuSeconds: 1 },
    endedBy: ['cpu'],
  },
  'one that is deaf to TERM': {
    script: 'trap "" TERM INT HUP QUIT; while :; do sleep 1; done',
    limits: { wallMs: 300 },
    endedBy: ['wall'],
  },
  'a demon': {
    script: `(setsid bash -c 'trap "" TERM HUP; (bash -c "exec -a TOKEN sleep 600" &) ; exec -a TOKEN sleep 600' > /dev/null 2>&1 &) ; sleep 0.3`,
  },
  'a demon that holds the output': {
    script: "(setsid bash -c 'exec -a TOKEN sleep 600' &) ; echo bye",
  },
  'a demon that forgets where it comes from': {
    script: "(env -i setsid bash -c 'exec -a TOKEN sleep 600' > /dev/null 2>&1 &) ; exit 0",
    needs: (profile, { hasCgroups }) => hasCgroups || profile !== 'disabled',
  },
  'a flood of output': { script: 'yes TOKEN | head -c 50M', limits: { cpuSeconds: 60 } },
  // Once is enough.
  'a flood of 1 GB': {
    script: 'yes TOKEN | head -c 1G',
    limits: { cpuSeconds: 120 },
    needs: (profile, { isRoot }) => profile === 'secure' && isRoot,
  },
  'a line without end': { script: 'head -c 200M /dev/zero' },
}

export interface Attacked {
  end: Pick<Ran, 'exitCode' | 'signal' | 'limit' | 'left' | 'used'>
  lines: number
  longest: number
  /** The longest time that this process answered nobody, in milliseconds. */
  stillMs: number
  /** What was added to this process's memory at most, in MiB. */
  grewMib: number
  /** Processes of the attack that are there after its end. */
  survivors: number
  /** Bytes of the largest file that it left. */
  largest: number
}

export async function attacked(runs: ScriptRuns, name: string, profile: Profile): Promise<Attacked> {
  const { script, limits } = ATTACKS[name] as Attack
  const token = `attack-${randomBytes(6).toString('hex')}`
  const folder = await runs.newFolder(profile)
  const before = process.memoryUsage().rss
  let [last, stillMs, most] = [performance.now(), 0, before]
  const answering = setInterval(() => {
    stillMs = Math.max(stillMs, performance.now() - last)
    last = performance.now()
    most = Math.max(most, process.memoryUsage().rss)
  }, 5)
  try {
    const { exitCode, signal, limit, left, used, stdout } = await runs.run(profile, script.replaceAll('TOKEN', token), {
      folder,
      limits,
      graceMs: 200,
      run: token,
    })
    return {
      end: { exitCode, signal, limit, left, used },
      lines: stdout.length,
      longest: Math.max(0, ...stdout.map((line) => line.length)),
      stillMs,
      grewMib: (most - before) / 1024 / 1024,
      survivors: await survivors(token),
      largest: await sizeOf(join(folder, 'big')),
    }
  } finally {
    clearInterval(answering)
  }
}

/** Processes that have the word in their name or environment. */
export async function survivors(token: string): Promise<number> {
  let count = 0
  for (const pid of await allPids()) {
    if (pid === process.pid) continue
    const words = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')
    if (words.includes(token) || (await environmentOf(pid))?.includes(token)) count++
  }
  return count
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0
}

/** As a program: attacks this host as whoever starts it, and says how each went. */
if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const runs = new ScriptRuns()
  const isolation = await runs.runner.isolation()
  const host = { hasCgroups: isolation.cgroups !== undefined, isRoot: isolation.isRoot }
  for (const profile of process.argv.slice(2) as Profile[])
    for (const [name, { needs }] of Object.entries(ATTACKS)) {
      if (needs && !needs(profile, host)) continue
      process.stdout.write(`${JSON.stringify({ name, profile, attacked: await attacked(runs, name, profile) })}\n`)
    }
  process.stdout.write(`${JSON.stringify({ isolation })}\n`)
  await runs.close()
}
