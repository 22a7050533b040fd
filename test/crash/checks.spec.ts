import { describe, expect, it } from 'vitest'
import { unaccounted } from './accounts.js'
import * as checks from './checks.js'
import { CHECKS, type Check, violationsIn } from './checks.js'
import { rowOf, START, sound, type Wave } from './wave.fake.js'

/** What a check must find, each in a record that is sound but for it. */
const DOCTORED: [check: Check, what: string, doctor: (wave: Wave) => void, finds: RegExp][] = [
  [
    checks.acceptedRunsExist,
    'an acknowledged run that is gone',
    ({ record }) => {
      record.runs = record.runs.filter(({ id }) => id !== 'run_chain')
    },
    /run_chain, acknowledged for order-run_chain, is lost/,
  ],
  [
    checks.oneRunPerKey,
    'two runs for one key',
    (wave) => {
      rowOf(wave, 'run_batch').idempotencyKey = 'order-run_chain'
    },
    /order-run_chain has several runs/,
  ],
  [
    checks.oneRunPerKey,
    'two answers for one key',
    ({ record }) => {
      record.ledger.push({ kind: 'accepted', at: START, key: 'order-run_chain', run: 'run_batch', status: 201 })
    },
    /order-run_chain was answered with several runs/,
  ],
  [
    checks.oneRunPerKey,
    'a run that nobody asked for',
    (wave) => {
      rowOf(wave, 'run_tick_1').scheduleId = null
    },
    /nobody asked for run_tick_1/,
  ],
  [
    checks.oneRunPerKey,
    'two runs below one step',
    (wave) => {
      for (const id of ['run_chain', 'run_signal'])
        Object.assign(rowOf(wave, id), { idempotencyKey: null, parentRunId: 'run_batch', parentPath: 'last' })
    },
    /run_batch:last has several runs below it/,
  ],
  [
    checks.everyRunEnds,
    'a run that is stuck',
    (wave) => {
      Object.assign(rowOf(wave, 'run_chain'), { state: 'running', finishedAt: null })
    },
    /run_chain \(chain\) is still running/,
  ],
  [
    checks.everyRunEnds,
    'a success that is recorded as a failure',
    (wave) => {
      rowOf(wave, 'run_chain').state = 'failed'
    },
    /run_chain \(chain\) ended as failed/,
  ],
  [
    checks.deadLettersWereLost,
    'a run that was given up too early',
    (wave) => {
      Object.assign(rowOf(wave, 'run_chain'), { state: 'failed', dead: true, recoveries: 6 })
    },
    /run_chain \(chain\) was given up after 6 losses/,
  ],
  [
    checks.recoveriesInTime,
    'a run that nobody took up for long',
    ({ record }) => {
      record.recoveries.push({ run: 'run_chain', how: 'takeover', ms: 45_000 })
    },
    /run_chain waited for 45\.0 s/,
  ],
  [
    checks.endsAreFinal,
    'a run that ended twice',
    ({ record }) => {
      record.sightings.push({ run: 'run_cancel', state: 'completed', finishedAt: START + 2_400 })
    },
    /run_cancel ended as cancelled and then as completed/,
  ],
  [
    checks.endsAreFinal,
    'a run that came to life again',
    (wave) => {
      Object.assign(rowOf(wave, 'run_cancel'), { state: 'running', finishedAt: null })
    },
    /run_cancel had ended as cancelled, and is running now/,
  ],
  [
    checks.outcomesFollowTheGraph,
    'a hole',
    ({ record }) => {
      record.outcomes = record.outcomes.filter(({ run, path }) => run !== 'run_cancel' || path !== 'c1')
    },
    /run_cancel \(cancelled\) went on without c1/,
  ],
  [
    checks.outcomesFollowTheGraph,
    'an item that is missing',
    ({ record }) => {
      record.outcomes = record.outcomes.filter(({ path }) => path !== 'each[3]')
    },
    /run_batch \(completed\) went on without each\[3\]/,
  ],
  [
    checks.outcomesFollowTheGraph,
    'an outcome of no step',
    (wave) => {
      wave.outcome('run_chain', 'five', 1_200)
    },
    /run_chain has an outcome of five/,
  ],
  [
    checks.noOutcomeWithoutEffect,
    'an outcome whose request never came',
    ({ record }) => {
      record.effects = record.effects.filter((entry) => entry.kind === 'ended' || entry.key !== 'run_chain:two')
    },
    /run_chain:two is recorded and never came/,
  ],
  [
    checks.sameKeyOnEveryRepeat,
    'a request without a key',
    (wave) => {
      wave.request(undefined, 100)
    },
    /a request without a key/,
  ],
  [
    checks.sameKeyOnEveryRepeat,
    'a key of its own for another attempt',
    (wave) => {
      wave.request('run_chain:two:2', 820)
      wave.request('run_chain:shape', 820)
    },
    /run_chain:shape is the key of no step/,
  ],
  [
    checks.sameKeyOnEveryRepeat,
    'a repeat that says something else',
    (wave) => {
      wave.request('run_chain:two', 1_010, { says: 'DELETE' })
    },
    /run_chain:two came as POST .* and as DELETE/,
  ],
  [
    checks.repeatsWereInFlight,
    'a repeat that no fault explains',
    (wave) => {
      wave.request('run_cancel:c0', 2_005).outcome('run_cancel', 'c0', 10_000)
      wave.request('run_signal:after', 20_000).request('run_signal:after', 20_100)
    },
    /run_signal:after came at .* without an outcome/,
  ],
  [
    checks.nothingAfterItsOutcome,
    'a step that ran again although its outcome was recorded',
    (wave) => {
      wave.request('run_chain:one', 1_100)
    },
    /run_chain:one came again at .*, after its outcome/,
  ],
  [
    checks.atMostOnceNeverTwice,
    'a charge that came again',
    (wave) => {
      wave.request('run_once:charge', 1_000)
    },
    /run_once:charge came 2 times/,
  ],
  [
    checks.countsAreExact,
    'a counter that went too far',
    ({ record }) => {
      record.counted = 2
    },
    /the counters stand at 2, and 1 runs have counted/,
  ],
  [
    checks.nothingStartsAfterCancel,
    'a step that began long after the cancel',
    (wave) => {
      wave.request('run_cancel:c3', 9_000)
    },
    /run_cancel:c3 came at .*, after the cancel/,
  ],
  [
    checks.nothingStartsAfterCancel,
    'a cancel that was acknowledged and forgotten',
    (wave) => {
      rowOf(wave, 'run_cancel').state = 'completed'
    },
    /run_cancel was acknowledged as cancelled and is not/,
  ],
  [
    checks.limitsHold,
    'three at once where two may be',
    (wave) => {
      for (const n of [1, 2, 3]) wave.request(`run_limited_${n}:work`, 3_000 + 10 * n, { limit: 'a', ms: 200 })
    },
    /3 at once of a: run_limited_1:work, run_limited_2:work, run_limited_3:work/,
  ],
  [
    checks.slotsFireOnce,
    'a slot that fired twice',
    (wave) => {
      wave.tick('run_tick_4', 'every', 4_100)
    },
    /every fired twice for 2026-01-01T00:00:04/,
  ],
  [
    checks.slotsFireOnce,
    'a schedule that stopped',
    ({ record }) => {
      for (const entry of record.ledger) if (entry.kind === 'unscheduled') entry.at = START + 60_000
    },
    /every did not fire for long/,
  ],
  [
    checks.eventsHaveNoGaps,
    'a gap between events',
    ({ record }) => {
      record.brokenEvents.push('run_chain')
    },
    /the events of run_chain have gaps/,
  ],
  [
    checks.nothingIsLeft,
    'a row that nobody needs',
    ({ record }) => {
      record.leftovers.push('a timer is left: run_chain')
    },
    /a timer is left/,
  ],
  [
    checks.noSecretShows,
    'a secret in a log',
    ({ record }) => {
      record.leaks.push('api-1.log')
    },
    /the secret shows in api-1\.log/,
  ],
  [
    checks.answersAgree,
    'a server that says something else than the table',
    ({ record }) => {
      record.answers.push({ run: 'run_chain', server: 'api-2', asked: 'state', said: 'running' })
    },
    /api-2 said running of run_chain, which is completed/,
  ],
  [
    checks.answersAgree,
    'a key that names another run now',
    ({ record }) => {
      record.answers.push({ run: 'run_chain', server: 'api-2', asked: 'again', said: 'run_other' })
    },
    /api-2 said run_other of run_chain/,
  ],
  [
    checks.serversDrain,
    'a server that does not end',
    ({ record }) => {
      record.faults.push({ kind: 'stopped', at: START, server: 'api-2', code: null })
    },
    /api-2 ended with SIGKILL on SIGTERM/,
  ],
  [
    checks.noSurprises,
    'a server that ended by itself',
    ({ record }) => {
      record.surprises.push('api-1 ended by itself')
    },
    /api-1 ended by itself/,
  ],
  [
    checks.throughputReturns,
    'a cluster that stays slow',
    ({ record }) => {
      record.throughput.after = 80
    },
    /80 runs\/s after, 100 before/,
  ],
]

describe('the checks', () => {
  it('find nothing in a record that is sound', () => {
    expect(violationsIn(sound().record)).toEqual([])
  })

  it.each(DOCTORED)('%o finds %s', (check, _, doctor, finds) => {
    const wave = sound()
    doctor(wave)
    expect(check(wave.record).join('\n')).toMatch(finds)
    expect(violationsIn(wave.record).map((violation) => violation.check)).toContain(check.name)
  })

  it('are each shown to be able to fail', () => {
    const own = CHECKS.filter((check) => Object.values(checks).includes(check))
    expect(new Set(DOCTORED.map(([check]) => check.name))).toEqual(new Set(own.map((check) => check.name)))
  })

  it('excuse what a fault explains, and count it', () => {
    const { record } = sound()
    const lost = unaccounted(record).map(({ arrival }) => arrival.key)
    expect(lost).toEqual(['run_chain:four'])
    record.faults = record.faults.filter(({ kind }) => kind !== 'death')
    expect(checks.repeatsWereInFlight(record)).toHaveLength(1)
  })

  it('know that a process may lose what it sent while the database was away', () => {
    const { record } = sound()
    record.faults = record.faults.filter(({ kind }) => kind !== 'death')
    record.faults.push({ kind: 'cut', at: START + 500, connections: 'all' })
    expect(checks.repeatsWereInFlight({ ...record, faults: [...record.faults] })).toEqual([])
    for (const entry of record.faults) if (entry.kind === 'cut') entry.connections = 'millrace log'
    for (const entry of record.faults) if (entry.kind === 'cut') entry.at = START - 4_000
    expect(checks.repeatsWereInFlight(record)).toHaveLength(1)
    for (const entry of record.faults) if (entry.kind === 'cut') entry.connections = 'all'
    record.faults.push({ kind: 'restored', at: START + 100 })
    expect(checks.repeatsWereInFlight(record)).toEqual([])
  })

  it('do not wait for schedules while no server is there', () => {
    const { record } = sound()
    for (const entry of record.ledger) if (entry.kind === 'unscheduled') entry.at = START + 60_000
    expect(checks.slotsFireOnce(record)).toHaveLength(1)
    record.faults.push({ kind: 'death', at: START + 10_000, server: 'api-1', cause: 'kill all' })
    record.faults.push({ kind: 'up', at: START + 50_000, server: 'api-1' })
    expect(checks.slotsFireOnce(record)).toEqual([])
  })

  it('give a cancel time until its owner, who stood still, has heard of it', () => {
    const wave = sound().request('run_cancel:c3', 22_500)
    expect(checks.nothingStartsAfterCancel(wave.record)).toHaveLength(1)
    wave.record.faults.push({ kind: 'frozen', at: START + 2_250, server: 'api-2' })
    wave.record.faults.push({ kind: 'thawed', at: START + 22_300, server: 'api-2' })
    expect(checks.nothingStartsAfterCancel(wave.record)).toEqual([])
  })
})
