import { createHash } from 'node:crypto'
import { arrivals, CLOCK_MS, interruptionsIn, stagesOf, storyNamed } from './accounts.js'
import { artifactOf } from './jobs-on-disk.js'
import type { CrashRecord } from './record.js'

/** An attempt that must not be repeated has an unknown outcome only where something happened to the servers in its time. */
export function unknownOnlyAfterAFault({ runs, outcomes, faults }: CrashRecord): string[] {
  const interruptions = interruptionsIn(faults)
  const once = new Map(runs.map((run) => [run.id, storyNamed(run.story)?.once ?? []]))
  return outcomes
    .filter(({ run, path, state }) => state === 'failed' && once.get(run)?.includes(path))
    .filter(
      ({ startedAt, finishedAt }) =>
        !interruptions.some(({ from, until }) => from <= finishedAt + CLOCK_MS && until >= startedAt - CLOCK_MS),
    )
    .map(({ run, path }) => `${run}:${path} failed, and nothing had happened`)
}

/** Of two words at the same time one counts, and the run goes on as that one said. */
export function decisionsHold({ ledger, runs, effects }: CrashRecord): string[] {
  const rows = new Map(runs.map((run) => [run.id, run]))
  const passed = new Set(arrivals(effects).map(({ key }) => key))
  const counted = ledger.flatMap((entry) => (entry.kind === 'decided' && entry.status < 300 ? [entry] : []))
  return [...Map.groupBy(counted, ({ run }) => run)].flatMap(([run, [first, ...others]]) => {
    if (others.length > 0) return [`${run} was decided ${others.length + 1} times`]
    const expected = first?.approved ? 'completed' : 'failed'
    const state = rows.get(run)?.state
    if (state !== expected) return [`${run} should have ${expected} by its decision, and is ${state}`]
    return passed.has(`${run}:gate`) === first?.approved ? [] : [`${run}:gate did not do as was decided`]
  })
}

/** Every run that got past the step that keeps something has it, once and whole. */
export function artifactsAreWhole({ runs, outcomes, artifacts, answers }: CrashRecord): string[] {
  const keeps = new Map(runs.map((run) => [run.id, storyNamed(run.story)?.keeps]))
  const kept = Map.groupBy(artifacts, ({ run }) => run)
  const missing = outcomes
    .filter(({ run, path, state, action }) => state === 'succeeded' && action !== 'skipped' && keeps.get(run) === path)
    .filter(({ run }) => !kept.get(run)?.some(({ state }) => state === 'kept'))
    .map(({ run }) => `${run} has lost its artifact`)
  const faulty = artifacts
    .filter(({ n, size, sha256 }) => size !== Buffer.byteLength(artifactOf(n)) || sha256 !== digestOf(n))
    .map(({ run, size }) => `the artifact of ${run} is not what it left: ${size} bytes`)
  const served = answers
    .filter(({ asked, run, said }) => asked === 'artifact' && said !== digestOf(kept.get(run)?.[0]?.n ?? 0))
    .map(({ run, server, said }) => `${server} gave another artifact of ${run}: ${said.slice(0, 100)}`)
  return [
    ...missing,
    ...faulty,
    ...served,
    ...[...kept].filter(([, rows]) => rows.length > 1).map(([run, rows]) => `${run} has ${rows.length} artifacts`),
  ]
}

function digestOf(n: number): string {
  return createHash('sha256').update(artifactOf(n)).digest('hex')
}

/** A follower of the stream of events heard everything once, in its order, wherever it was connected. */
export function followersMissNothing({ stream: { heard, again } }: CrashRecord): string[] {
  const disorder = heard
    .slice(1)
    .filter(({ id }, index) => id <= (heard[index]?.id ?? 0))
    .map(({ id, event, run }) => `${event} of ${run} (${id}) was heard again, or late`)
  const [told, known] = [new Set(again.map(({ id }) => id)), new Set(heard.map(({ id }) => id))]
  return [
    ...disorder,
    ...again.filter(({ id }) => !known.has(id)).map(({ id, event, run }) => `${event} of ${run} (${id}) was not heard`),
    ...heard
      .filter(({ id }) => !told.has(id))
      .map(({ id, event, run }) => `${event} of ${run} (${id}) is not told any more`),
  ]
}

/** The stream tells that a run is accepted and ends, and that a step begins and ends, once each; of a completed run all of it. */
export function streamTellsEachOnce({ stream, runs }: CrashRecord): string[] {
  const rows = new Map(runs.map((run) => [run.id, run]))
  return [...Map.groupBy(stream.again, ({ run }) => run)].flatMap(([id, events]) => {
    const row = rows.get(id)
    if (!row || !events.some(({ event }) => event === 'run.created')) return []
    const counts = Map.groupBy(events, ({ event, step = '' }) => `${event} ${step}`)
    const isOnce = ({ event }: { event: string }) =>
      event.startsWith('run.') || /^step\.(started|finished)$/.test(event)
    const doubles = [...counts]
      .filter(([, [first, ...others]]) => first && others.length > 0 && isOnce(first) && first.event !== 'run.output')
      .map(([what, all]) => `${what} of ${id} (${row.story}) was told ${all.length} times`)
    const due = [
      'run.finished ',
      ...(row.state === 'completed' ? stepsOf(row).map((step) => `step.finished ${step}`) : []),
    ]
    const missing = due
      .filter((what) => !counts.has(what))
      .map((what) => `${what} of ${id} (${row.story}) was not told`)
    return [...doubles, ...missing]
  })
}

/** Items of batches have no events of their own. */
function stepsOf(run: CrashRecord['runs'][number]): string[] {
  return stagesOf(run)
    .flat()
    .filter((path) => !path.endsWith(']'))
}

/** What users did is in the audit trail, once each, and its chain is whole. */
export function auditIsWhole({ unaudited, answers }: CrashRecord): string[] {
  return [
    ...unaudited.map((run) => `what was done to ${run} is not in the audit trail once each`),
    ...answers
      .filter(({ asked, said }) => asked === 'audit' && said !== 'true')
      .map(({ server, said }) => `${server} said of the audit trail: ${said}`),
  ]
}
