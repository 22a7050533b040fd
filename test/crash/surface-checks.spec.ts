import { describe, expect, it } from 'vitest'
import { type Check, violationsIn } from './checks.js'
import * as checks from './surface-checks.js'
import { rowOf, START, sound, type Wave } from './wave.fake.js'

/** What a check must find, each in a record that is sound but for it. */
const DOCTORED: [check: Check, what: string, doctor: (wave: Wave) => void, finds: RegExp][] = [
  [
    checks.unknownOnlyAfterAFault,
    'a job that failed though nothing had happened',
    (wave) => {
      wave.run('run_job_2', 'job-once', { at: 40_000, state: 'failed', stages: 0 })
      wave.outcome('run_job_2', 'work', 40_000, { state: 'failed' })
    },
    /run_job_2:work failed, and nothing had happened/,
  ],
  [
    checks.decisionsHold,
    'two words that both counted',
    ({ record }) => {
      for (const entry of record.ledger) if (entry.kind === 'decided') entry.status = 200
    },
    /run_approved was decided 2 times/,
  ],
  [
    checks.decisionsHold,
    'a run that did not do as it was told',
    (wave) => {
      rowOf(wave, 'run_declined').state = 'completed'
    },
    /run_declined should have failed by its decision, and is completed/,
  ],
  [
    checks.decisionsHold,
    'a step that went on although it was declined',
    (wave) => {
      wave.request('run_declined:gate', 410)
    },
    /run_declined:gate did not do as was decided/,
  ],
  [
    checks.artifactsAreWhole,
    'an artifact that is gone',
    ({ record }) => {
      record.artifacts = []
    },
    /run_job has lost its artifact/,
  ],
  [
    checks.artifactsAreWhole,
    'an artifact that is cut off',
    ({ record }) => {
      for (const artifact of record.artifacts) artifact.size = 1_000
    },
    /the artifact of run_job is not what it left: 1000 bytes/,
  ],
  [
    checks.artifactsAreWhole,
    'an artifact that a repeated step left twice',
    (wave) => {
      wave.artifact('run_job', 1)
    },
    /run_job has 2 artifacts/,
  ],
  [
    checks.artifactsAreWhole,
    'a server that gives something else',
    ({ record }) => {
      record.answers.push({ run: 'run_job', server: 'api-2', asked: 'artifact', said: '404: not found' })
    },
    /api-2 gave another artifact of run_job: 404/,
  ],
  [
    checks.followersMissNothing,
    'an event that was not heard',
    ({ record }) => {
      record.stream.heard.splice(3, 1)
    },
    /step\.started of run_chain \(4\) was not heard/,
  ],
  [
    checks.followersMissNothing,
    'an event that was heard twice',
    ({ record: { stream } }) => {
      stream.heard.push(...stream.heard.slice(-2))
    },
    /was heard again, or late/,
  ],
  [
    checks.followersMissNothing,
    'an event that is not told any more',
    ({ record }) => {
      record.stream.again.pop()
    },
    /run\.finished of run_declined .* is not told any more/,
  ],
  [
    checks.streamTellsEachOnce,
    'a step that is told to have begun twice',
    (wave) => {
      wave.tell('run_chain', 'step.started', 'two')
    },
    /step\.started two of run_chain \(chain\) was told 2 times/,
  ],
  [
    checks.streamTellsEachOnce,
    'a step whose end is not told',
    ({ record: { stream } }) => {
      const isIt = ({ run, event, step }: (typeof stream.again)[number]) =>
        run === 'run_job' && event === 'step.finished' && step === 'keep'
      stream.again = stream.again.filter((one) => !isIt(one))
    },
    /step\.finished keep of run_job \(job-once\) was not told/,
  ],
  [
    checks.auditIsWhole,
    'a start without an entry',
    ({ record }) => {
      record.unaudited.push('run_chain')
    },
    /what was done to run_chain is not in the audit trail once each/,
  ],
  [
    checks.auditIsWhole,
    'a chain that is broken',
    ({ record }) => {
      for (const answer of record.answers) if (answer.asked === 'audit') answer.said = 'false'
    },
    /api-1 said of the audit trail: false/,
  ],
]

describe('the checks of what each API promises', () => {
  it.each(DOCTORED)('%o finds %s', (check, _, doctor, finds) => {
    const wave = sound()
    expect(check(wave.record)).toEqual([])
    doctor(wave)
    expect(check(wave.record).join('\n')).toMatch(finds)
    expect(violationsIn(wave.record).map((violation) => violation.check)).toContain(check.name)
  })

  it('are each shown to be able to fail', () => {
    expect(new Set(DOCTORED.map(([check]) => check.name))).toEqual(
      new Set(Object.values(checks).map((check) => check.name)),
    )
  })

  it('know that a server which is asked to end may break off what it does before it ends', () => {
    const wave = sound().run('run_job_2', 'job-once', { at: 40_000, state: 'failed', stages: 0 })
    wave.outcome('run_job_2', 'work', 40_000, { state: 'failed' })
    wave.record.faults.push({ kind: 'stopped', at: START + 41_000, server: 'api-1', code: 0 })
    expect(checks.unknownOnlyAfterAFault(wave.record)).toHaveLength(1)
    wave.record.faults.push({ kind: 'stopped', at: START + 41_000, askedAt: START + 40_010, server: 'api-1', code: 0 })
    expect(checks.unknownOnlyAfterAFault(wave.record)).toEqual([])
  })

  it('know that a fault leaves unknown what must not be repeated, and skips what needs it', () => {
    const wave = sound()
    wave.run('run_job_2', 'job-once', { at: 900, state: 'failed', stages: 0 })
    wave.request('run_job_2:work', 950).outcome('run_job_2', 'work', 960, { state: 'failed' })
    wave.outcome('run_job_2', 'keep', 1_050, { action: 'skipped' })
    expect(violationsIn(wave.record)).toEqual([])
    expect(wave.record.faults.some(({ at }) => at === START + 1_000)).toBe(true)
  })
})
