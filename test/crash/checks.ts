import {
  type Arrival,
  accepted,
  arrivals,
  CLOCK_MS,
  interruptionsIn,
  outagesIn,
  stagesOf,
  storyNamed,
  unaccounted,
} from './accounts.js'
import type { CrashRecord } from './record.js'
import { LIMIT, TICK_SECONDS } from './stories.js'
import {
  artifactsAreWhole,
  auditIsWhole,
  decisionsHold,
  followersMissNothing,
  streamTellsEachOnce,
  unknownOnlyAfterAFault,
} from './surface-checks.js'
import { ENOUGH } from './throughput.js'

/** Says what is wrong, a line for each case; nothing when all is well. */
export type Check = (record: CrashRecord) => string[]

/** An attempt whose process was interrupted: how long after the request left that may have been. */
const IN_FLIGHT_MS = 5_000
/** The same of a program that a job has started, on a busy machine. */
const JOB_IN_FLIGHT_MS = 30_000
/** The lease, and as much again for a machine that is busy. */
const RECOVERY_MS = 30_000
/** A run that is lost so often without getting further is a dead letter. */
const DEADLY_LOSSES = 6
/** Until the owner has heard of a cancel, also when the message is lost. */
const CANCEL_MS = 4_000
/** A schedule may be this late while there is a server: longer than a lease, and its takeover. */
const SCHEDULE_LATE_MS = 20_000

const FINAL = ['completed', 'failed', 'cancelled']

/** Every run that was acknowledged is there. */
export function acceptedRunsExist({ ledger, runs }: CrashRecord): string[] {
  const there = new Set(runs.map(({ id }) => id))
  return accepted(ledger)
    .filter(({ run }) => !there.has(run))
    .map(({ run, key }) => `${run}, acknowledged for ${key}, is lost`)
}

/** One key is one run, and no run is there that nobody asked for. */
export function oneRunPerKey({ ledger, runs }: CrashRecord): string[] {
  const asked = new Set(ledger.flatMap((entry) => (entry.kind === 'asked' ? [entry.key] : [])))
  const named = Map.groupBy(accepted(ledger), ({ key }) => key)
  const byKey = Map.groupBy(
    runs.filter(({ idempotencyKey }) => idempotencyKey !== null),
    ({ idempotencyKey }) => idempotencyKey as string,
  )
  const there = new Set<string | null>(runs.map(({ id }) => id))
  const below = runs.filter(({ parentRunId }) => parentRunId !== null)
  const byStep = Map.groupBy(below, ({ parentRunId, parentPath }) => `${parentRunId}:${parentPath}`)
  return [
    ...[...named]
      .filter(([, entries]) => new Set(entries.map(({ run }) => run)).size > 1)
      .map(([key]) => `${key} was answered with several runs`),
    ...[...byKey].filter(([, rows]) => rows.length > 1).map(([key]) => `${key} has several runs`),
    ...[...byKey.keys()].filter((key) => !asked.has(key)).map((key) => `nobody asked for ${key}`),
    ...runs
      .filter((run) => run.idempotencyKey === null && run.scheduleId === null && run.parentRunId === null)
      .map(({ id }) => `nobody asked for ${id}`),
    ...[...byStep].filter(([, rows]) => rows.length > 1).map(([step]) => `${step} has several runs below it`),
    ...[...below]
      .filter(({ parentRunId }) => !there.has(parentRunId))
      .map(({ id }) => `${id} is below a run that is not there`),
  ]
}

/** Every run has come to an end that its story knows. */
export function everyRunEnds({ runs }: CrashRecord): string[] {
  return runs.flatMap(({ id, story, state, finishedAt, dead }) => {
    if (dead && state === 'failed') return []
    if (!FINAL.includes(state) || finishedAt === null) return [`${id} (${story}) is still ${state}`]
    return storyNamed(story)?.ends.some((end) => end === state) ? [] : [`${id} (${story}) ended as ${state}`]
  })
}

/** A run is given up only where it was lost so often that it may be what ends its processes. */
export function deadLettersWereLost({ runs, faults }: CrashRecord): string[] {
  const interruptions = interruptionsIn(faults)
  return runs
    .filter(({ dead }) => dead)
    .filter(({ recoveries, createdAt, finishedAt }) => {
      const met = interruptions.filter(({ from, until }) => until >= createdAt && from <= (finishedAt ?? 0))
      return Math.min(recoveries, met.length) < DEADLY_LOSSES
    })
    .map(({ id, story, recoveries }) => `${id} (${story}) was given up after ${recoveries} losses`)
}

/** Runs of a process that is lost are taken up soon, once there is somebody who can. */
export function recoveriesInTime({ recoveries }: CrashRecord): string[] {
  return recoveries
    .filter(({ ms }) => ms > RECOVERY_MS)
    .map(({ run, how, ms }) => `${run} waited for ${(ms / 1_000).toFixed(1)} s (${how})`)
}

/** An end, once seen, is never another. */
export function endsAreFinal({ sightings, runs }: CrashRecord): string[] {
  const seen = Map.groupBy(sightings, ({ run }) => run)
  const rows = new Map(runs.map((run) => [run.id, run]))
  return [...seen].flatMap(([id, [first, ...others]]) => {
    const row = rows.get(id)
    if (others.length > 0)
      return [`${id} ended as ${first?.state} and then as ${others.map(({ state }) => state).join(', ')}`]
    if (row?.state !== first?.state || Math.abs((row?.finishedAt ?? 0) - (first?.finishedAt ?? 0)) > 1)
      return [`${id} had ended as ${first?.state}, and is ${row?.state} now`]
    return []
  })
}

/** Outcomes come in the order of the graph, without holes; a completed run has all of them, and none has others. */
export function outcomesFollowTheGraph({ runs, outcomes }: CrashRecord): string[] {
  const byRun = Map.groupBy(outcomes, ({ run }) => run)
  return runs.flatMap((run) => {
    const stages = stagesOf(run)
    const found = byRun.get(run.id) ?? []
    const once = storyNamed(run.story)?.once ?? []
    const passed = new Set(
      found
        .filter(({ state, path }) => state === 'succeeded' || (state === 'failed' && once.includes(path)))
        .map(({ path }) => path),
    )
    const known = new Set(stages.flat())
    const strange = found
      .filter(({ path }) => !known.has(path))
      .map(({ path }) => `${run.id} has an outcome of ${path}`)
    const reached =
      run.state === 'completed'
        ? stages.length
        : stages.findLastIndex((stage) => found.some(({ path }) => stage.includes(path)))
    const holes = stages
      .slice(0, Math.max(0, reached))
      .flat()
      .filter((path) => !passed.has(path))
    return [...strange, ...holes.map((path) => `${run.id} (${run.state}) went on without ${path}`)]
  })
}

/** What is recorded as done was done. */
export function noOutcomeWithoutEffect({ runs, outcomes, effects }: CrashRecord): string[] {
  const came = new Set(arrivals(effects).map(({ key }) => key))
  const stories = new Map(runs.map((run) => [run.id, storyNamed(run.story)]))
  return outcomes
    .filter(({ state, action }) => state === 'succeeded' && action !== 'skipped')
    .filter(({ run, path }) => stories.get(run)?.effects.includes(path))
    .filter(({ run, path }) => !came.has(`${run}:${path}`))
    .map(({ run, path }) => `${run}:${path} is recorded and never came`)
}

/** Each request carries the key of its run and path, and says the same each time. */
export function sameKeyOnEveryRepeat({ runs, effects }: CrashRecord): string[] {
  const stories = new Map(runs.map((run) => [run.id, storyNamed(run.story)]))
  const firsts = new Map<string, string>()
  return arrivals(effects).flatMap(({ key, request }) => {
    if (key === undefined) return [`a request without a key: ${request}`]
    const [run = '', path = ''] = key.split(':')
    if (!stories.get(run)?.effects.includes(path)) return [`${key} is the key of no step that reaches the outside`]
    const first = firsts.get(key) ?? request
    firsts.set(key, first)
    return first === request ? [] : [`${key} came as ${first} and as ${request}`]
  })
}

/** A request that no outcome accounts for was in flight when its process was interrupted; after a cancel it may be the last. */
export function repeatsWereInFlight(record: CrashRecord): string[] {
  const { faults, runs } = record
  const interruptions = interruptionsIn(faults)
  const rows = new Map(runs.map((run) => [run.id, run]))
  return unaccounted(record)
    .filter(({ arrival, isLast }) => {
      const run = rows.get((arrival.key ?? '').split(':')[0] as string)
      if (isLast && run?.state !== 'completed') return false
      const inFlight = storyNamed(run?.story ?? '')?.kind === 'job' ? JOB_IN_FLIGHT_MS : IN_FLIGHT_MS
      return !interruptions.some(({ from, until }) => from <= arrival.at + inFlight && until >= arrival.at - CLOCK_MS)
    })
    .map(
      ({ arrival }) =>
        `${arrival.key} came at ${new Date(arrival.at).toISOString()} without an outcome, and nothing had happened`,
    )
}

/** Once its outcome is recorded a step never comes again. */
export function nothingAfterItsOutcome({ outcomes, effects }: CrashRecord): string[] {
  const settled = new Map(
    outcomes.filter(({ state }) => state !== 'retrying').map((outcome) => [`${outcome.run}:${outcome.path}`, outcome]),
  )
  return arrivals(effects)
    .filter(({ key, at }) => at > (settled.get(key ?? '')?.finishedAt ?? Number.POSITIVE_INFINITY) + CLOCK_MS)
    .map(({ key, at }) => `${key} came again at ${new Date(at).toISOString()}, after its outcome`)
}

/** A step that may happen at most once does. */
export function atMostOnceNeverTwice({ runs, effects }: CrashRecord): string[] {
  const once = new Map(runs.map((run) => [run.id, storyNamed(run.story)?.once ?? []]))
  const byKey = Map.groupBy(arrivals(effects), ({ key }) => key ?? '')
  return [...byKey]
    .filter(([key, came]) => {
      const [run = '', path = ''] = key.split(':')
      return came.length > 1 && once.get(run)?.includes(path)
    })
    .map(([key, came]) => `${key} came ${came.length} times`)
}

/** A transactional step took effect exactly once in every run that got past it. */
export function countsAreExact({ outcomes, runs, counted }: CrashRecord): string[] {
  const counting = new Set(runs.filter(({ story }) => story === 'count').map(({ id }) => id))
  const done = outcomes.filter(
    ({ run, path, state }) => path === 'count' && state === 'succeeded' && counting.has(run),
  ).length
  return counted === done ? [] : [`the counters stand at ${counted}, and ${done} runs have counted`]
}

/** How long after each cancel its run was last heard of outside, in ms. */
export function latenessOfCancels({ runs, effects }: CrashRecord): number[] {
  const cancelledAt = new Map(
    runs.flatMap(({ id, state, finishedAt }) => (state === 'cancelled' ? [[id, finishedAt ?? 0] as const] : [])),
  )
  const last = new Map([...cancelledAt.keys()].map((run) => [run, 0]))
  for (const { key, at } of arrivals(effects)) {
    const run = (key ?? '').split(':')[0] as string
    last.set(run, Math.max(last.get(run) ?? 0, at - (cancelledAt.get(run) ?? at)))
  }
  return [...cancelledAt.keys()].map((run) => last.get(run) ?? 0)
}

/** Once a cancel is final, nothing of that run starts any more, but for the moment in which its owner hears of it. */
export function nothingStartsAfterCancel({ ledger, runs, effects, faults }: CrashRecord): string[] {
  const deaf = interruptionsIn(faults)
  const cancelledAt = new Map(
    runs.flatMap(({ id, state, finishedAt }) => (state === 'cancelled' ? [[id, finishedAt ?? 0] as const] : [])),
  )
  const late = arrivals(effects).filter(({ key, at }) => {
    const cancelled = cancelledAt.get((key ?? '').split(':')[0] as string)
    if (cancelled === undefined || at <= cancelled) return false
    // Who was frozen, or cut off from the database, hears of it later.
    const heardAt = Math.max(
      cancelled,
      ...deaf.filter(({ from, until }) => from <= cancelled + CANCEL_MS && until > cancelled).map(({ until }) => until),
    )
    return at > heardAt + CANCEL_MS
  })
  const promised = ledger.flatMap((entry) =>
    entry.kind === 'cancelled' && !cancelledAt.has(entry.run) ? [entry.run] : [],
  )
  return [
    ...late.map(({ key, at }) => `${key} came at ${new Date(at).toISOString()}, after the cancel`),
    ...promised.map((run) => `${run} was acknowledged as cancelled and is not`),
  ]
}

/** Of no concurrency key more runs are at work at the same time than allowed, as the outside sees it. */
export function limitsHold({ effects }: CrashRecord): string[] {
  const ends = new Map(effects.flatMap((entry) => (entry.kind === 'ended' ? [[entry.id, entry.at] as const] : [])))
  const byLimit = Map.groupBy(
    arrivals(effects).filter(({ limit }) => limit !== undefined),
    ({ limit }) => limit as string,
  )
  return [...byLimit].flatMap(([limit, came]) => {
    const open: Arrival[] = []
    return came.flatMap((arrival) => {
      for (const other of [...open])
        if ((ends.get(other.id) ?? Number.POSITIVE_INFINITY) <= arrival.at + CLOCK_MS)
          open.splice(open.indexOf(other), 1)
      open.push(arrival)
      return open.length > LIMIT ? [`${open.length} at once of ${limit}: ${open.map(({ key }) => key).join(', ')}`] : []
    })
  })
}

/** The longest time in one piece in which there was a server, in ms. */
function longestWithout(outages: readonly { from: number; until: number }[], from: number, until: number): number {
  let [since, longest] = [from, 0]
  for (const outage of outages.filter((one) => one.until > from && one.from < until)) {
    longest = Math.max(longest, outage.from - since)
    since = Math.max(since, outage.until)
  }
  return Math.max(longest, until - since)
}

/** Every slot of a schedule has one run, and none is left out for long. */
export function slotsFireOnce({ ledger, runs, faults }: CrashRecord): string[] {
  const outages = outagesIn(faults)
  return ledger.flatMap((entry) => {
    if (entry.kind !== 'scheduled') return []
    const { schedule } = entry
    const fired = runs
      .filter(({ scheduleId }) => scheduleId === schedule)
      .map(({ createdAt }) => createdAt)
      .sort((one, other) => one - other)
    const slots = Map.groupBy(fired, (at) => Math.floor(at / (TICK_SECONDS * 1_000)))
    const end = ledger.find((other) => other.kind === 'unscheduled' && other.schedule === schedule)?.at
    const times = [entry.at, ...fired, ...(end === undefined ? [] : [end])]
    const late = times
      .slice(1)
      .filter((at, index) => longestWithout(outages, times[index] as number, at) > SCHEDULE_LATE_MS)
    return [
      ...[...slots]
        .filter(([, runsOfSlot]) => runsOfSlot.length > 1)
        .map(([slot]) => `${schedule} fired twice for ${new Date(slot * TICK_SECONDS * 1_000).toISOString()}`),
      ...late.map((at) => `${schedule} did not fire for long before ${new Date(at).toISOString()}`),
    ]
  })
}

/** Each run's events are numbered from 1 without gaps or doubles. */
export function eventsHaveNoGaps({ brokenEvents }: CrashRecord): string[] {
  return brokenEvents.map((run) => `the events of ${run} have gaps or doubles`)
}

/** No rows, jobs or processes are left of what is over. */
export function nothingIsLeft({ leftovers }: CrashRecord): string[] {
  return leftovers
}

/** The secret shows in no log, and in nothing that a run left. */
export function noSecretShows({ leaks }: CrashRecord): string[] {
  return leaks.map((where) => `the secret shows in ${where}`)
}

/** Any server says of a run what the table says, and gives the same run for the same key. */
export function answersAgree({ answers, runs }: CrashRecord): string[] {
  const rows = new Map(runs.map((run) => [run.id, run]))
  return answers.flatMap(({ run, server, asked, said }) => {
    if (asked !== 'state' && asked !== 'again') return []
    const row = rows.get(run)
    const expected = asked === 'state' ? row?.state : row?.id
    return said === expected ? [] : [`${server} said ${said} of ${run}, which is ${expected}`]
  })
}

/** A server that is asked to end does so in good order and in time. */
export function serversDrain({ faults }: CrashRecord): string[] {
  return faults.flatMap((entry) =>
    entry.kind === 'stopped' && entry.code !== 0
      ? [`${entry.server} ended with ${entry.code ?? 'SIGKILL'} on SIGTERM at ${new Date(entry.at).toISOString()}`]
      : [],
  )
}

/** Nothing happened that no fault explains: refused requests, servers that ended by themselves. */
export function noSurprises({ surprises }: CrashRecord): string[] {
  return surprises
}

/** What could be done per second before can be done after. */
export function throughputReturns({ throughput: { before, after } }: CrashRecord): string[] {
  return after >= before * ENOUGH ? [] : [`${after.toFixed(0)} runs/s after, ${before.toFixed(0)} before`]
}

export const CHECKS: readonly Check[] = [
  acceptedRunsExist,
  oneRunPerKey,
  everyRunEnds,
  deadLettersWereLost,
  recoveriesInTime,
  endsAreFinal,
  outcomesFollowTheGraph,
  noOutcomeWithoutEffect,
  sameKeyOnEveryRepeat,
  repeatsWereInFlight,
  nothingAfterItsOutcome,
  atMostOnceNeverTwice,
  countsAreExact,
  nothingStartsAfterCancel,
  limitsHold,
  slotsFireOnce,
  eventsHaveNoGaps,
  nothingIsLeft,
  noSecretShows,
  answersAgree,
  serversDrain,
  noSurprises,
  throughputReturns,
  unknownOnlyAfterAFault,
  decisionsHold,
  artifactsAreWhole,
  followersMissNothing,
  streamTellsEachOnce,
  auditIsWhole,
]

export interface Violation {
  check: string
  cases: string[]
}

export function violationsIn(record: CrashRecord): Violation[] {
  return CHECKS.map((check) => ({ check: check.name, cases: check(record) })).filter(({ cases }) => cases.length > 0)
}
