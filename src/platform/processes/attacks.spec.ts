import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { ATTACKS, type Attack, type Attacked, attacked } from './attacks.fake.js'
import { ScriptRuns, SMALL_LIMITS } from './process.fake.js'
import { PROFILES, type Profile } from './profiles.js'

/** On a machine that does much else besides. */
const ATTACK_MS = 90_000
const STILL_MS = 3_000

const runs = new ScriptRuns()
const isolation = await runs.runner.isolation()
const host = { hasCgroups: isolation.cgroups !== undefined, isRoot: isolation.isRoot }
const available = PROFILES.filter((profile) => profile !== 'secure' || isolation.secureFault === undefined)
afterAll(() => runs.close())

function held(name: string, { end, lines, longest, stillMs, grewMib, survivors, largest }: Attacked): void {
  const { endedBy, limits } = ATTACKS[name] as Attack
  if (endedBy) expect(end.limit?.limit).toBeOneOf([...endedBy])
  else expect(end.limit).toBeUndefined()
  expect(end.left).toBe(0)
  // One too many is how it is seen that there are too many.
  if (name.includes('bomb')) expect(end.used.processes).toBeLessThanOrEqual((limits?.processes ?? 0) + 1)
  expect(survivors).toBe(0)
  expect(stillMs).toBeLessThan(STILL_MS)
  expect(grewMib).toBeLessThan(150)
  expect(lines).toBeLessThan(20_000)
  expect(longest).toBeLessThanOrEqual(1024 * 1024)
  expect(largest).toBeLessThanOrEqual((limits?.fileMb ?? SMALL_LIMITS.fileMb) * 1024 * 1024)
}

describe.each(available)('under %s', (profile) => {
  for (const [name, { needs }] of Object.entries(ATTACKS))
    it.skipIf(needs && !needs(profile, host))(
      `${name} is held, and the server answers`,
      async () => held(name, await attacked(runs, name, profile)),
      ATTACK_MS,
    )
})

const AS_NOBODY = ['--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--']
const program = fileURLToPath(new URL('attacks.fake.ts', import.meta.url))
const loader = fileURLToPath(new URL('../../../test/support/typescript.mjs', import.meta.url))

/** A clone below a closed folder, such as root's home, cannot be read by another. */
const canBecomeNobody =
  host.isRoot && spawnSync('setpriv', [...AS_NOBODY, process.execPath, '--check', loader]).status === 0

describe.skipIf(!canBecomeNobody)('for a server that is not root', () => {
  it('all of them are held as well', { timeout: 5 * ATTACK_MS }, async () => {
    const args = [...AS_NOBODY, process.execPath, '--import', loader, program, 'secure', 'disabled']
    const child = spawn('setpriv', args, {
      env: { PATH: process.env.PATH, HOME: '/tmp' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const closed = once(child, 'close')
    const seen: string[] = []
    for await (const line of createInterface({ input: child.stdout })) {
      const told = JSON.parse(line) as { name: string; profile: Profile; attacked?: Attacked }
      if (!told.attacked) continue
      seen.push(`${told.name} under ${told.profile}`)
      try {
        held(told.name, told.attacked)
      } catch (error) {
        throw new Error(`${seen.at(-1)}: ${JSON.stringify(told.attacked)}`, { cause: error })
      }
    }
    expect(await closed).toEqual([0, null])
    expect(seen).toContain('a fork bomb under secure')
    expect(seen).toContain('a demon under disabled')
  })
})
