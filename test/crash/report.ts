import type { FaultEntry } from './fault-log.js'
import type { Recovery } from './watcher.js'
import type { WaveResult } from './wave.js'

const HOW: Readonly<Record<Recovery['how'], string>> = {
  restart: 'same host, from its restart on',
  takeover: 'by another process',
  lease: 'by another process, of one that stands still (its lease is 15 s)',
}

/** The figures of all waves, to be read like those of a benchmark. */
export function report(waves: readonly WaveResult[], seed: number): string {
  const sum = (of: (wave: WaveResult) => number) => waves.reduce((total, wave) => total + of(wave), 0)
  const recoveries = waves.flatMap((wave) => wave.recoveries)
  const effects = sum((wave) => wave.effects)
  const duplicates = sum((wave) => wave.duplicates)
  return [
    line('seed', String(seed)),
    line('kills', `${sum((wave) => wave.kills)} in ${sum((wave) => wave.seconds).toFixed(0)} s`),
    line(
      'faults',
      counted(waves.flatMap((wave) => wave.faults.flatMap((entry) => (entry.kind === 'fault' ? [entry.name] : [])))),
    ),
    line('crash points', counted(waves.flatMap((wave) => pointsIn(wave.faults)))),
    line(
      'accepted',
      `${sum((wave) => wave.accepted)} (${sum((wave) => wave.runs)} runs with those that schedules began)`,
    ),
    line('lost', String(sum((wave) => wave.lost))),
    line('dead letters', String(sum((wave) => wave.dead))),
    line('effects', String(effects)),
    line(
      'in flight at a fault',
      `${duplicates} effects had to be repeated (${((100 * duplicates) / effects).toFixed(2)} %)`,
    ),
    line(
      'zombies',
      `${sum((wave) => wave.zombies)} effects and ${sum((wave) => wave.late)} outcomes came from processes that had lost their runs`,
    ),
    ...(['takeover', 'restart', 'lease'] as const).map((how) => {
      const times = recoveries.filter((one) => one.how === how).map(({ ms }) => ms)
      return line(
        'recovery',
        times.length === 0 ? `${HOW[how]}: none` : `${HOW[how]}: ${percentiles(times)} (${times.length} runs)`,
      )
    }),
    line('cancels', cancelled(waves.flatMap((wave) => wave.cancels))),
    ...waves.map(({ options, throughput: { before, after } }) =>
      line(
        'throughput',
        `${before.toFixed(0)} light runs/s before, ${after.toFixed(0)} after (${options.redis ? 'with' : 'without'} Redis)`,
      ),
    ),
  ].join('\n')
}

/** What is wrong, and where the evidence is. */
export function accusation({ options, violations }: WaveResult): string {
  const lines = violations.flatMap(({ check, cases }) => [
    `VIOLATED ${check}: ${cases.length}`,
    ...cases.slice(0, 10).map((one) => `  ${one}`),
  ])
  return [...lines, `the evidence is in ${options.folder}; --seed ${options.seed} decides the same again`].join('\n')
}

function cancelled(lateness: readonly number[]): string {
  const late = lateness.filter((ms) => ms > 0)
  if (late.length === 0) return `${lateness.length}, and no step began after any`
  return `${lateness.length}; in ${late.length} runs a step still began, the last ${seconds(Math.max(...late))} after the cancel`
}

function pointsIn(faults: readonly FaultEntry[]): string[] {
  return faults.flatMap((entry) =>
    entry.kind === 'death' && entry.cause.startsWith('point:') ? [entry.cause.slice(6)] : [],
  )
}

function counted(names: readonly string[]): string {
  const counts = [...Map.groupBy(names, (name) => name)].sort(([one], [other]) => one.localeCompare(other))
  return counts.map(([name, all]) => `${name} ${all.length}`).join(', ') || 'none'
}

function percentiles(times: readonly number[]): string {
  const sorted = [...times].sort((one, other) => one - other)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number
  return `p50 ${seconds(at(0.5))}, p90 ${seconds(at(0.9))}, p99 ${seconds(at(0.99))}, most ${seconds(at(1))}`
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`
}

function line(name: string, text: string): string {
  return `${name.padEnd(22)}${text}`
}
