import { createHash } from 'node:crypto'
import { artifactOf } from './jobs-on-disk.js'
import type { CrashRecord } from './record.js'
import { storyOf } from './stories.js'

export const START = Date.UTC(2026, 0, 1)

/** A record of what went well in spite of a kill; every time is in ms after `START`. */
export class Wave {
  readonly record: CrashRecord = {
    ledger: [],
    effects: [],
    faults: [],
    sightings: [],
    runs: [],
    outcomes: [],
    answers: [],
    artifacts: [],
    stream: { heard: [], again: [] },
    unaudited: [],
    counted: 0,
    late: 0,
    brokenEvents: [],
    leftovers: [],
    leaks: [],
    surprises: [],
    recoveries: [{ run: 'run_chain', how: 'takeover', ms: 900 }],
    throughput: { before: 100, after: 99 },
  }
  private effectIds = 0

  /** A run that goes through its story in steps of 100 ms, as far as `stages` says. */
  run(id: string, story: string, { state = 'completed', at = 0, stages = storyOf(story).stages.length } = {}): this {
    const { record } = this
    const key = `order-${id}`
    record.ledger.push({ kind: 'asked', at: START + at, key, story, n: 1 })
    record.ledger.push({ kind: 'accepted', at: START + at + 5, key, run: id, status: 201 })
    const told = storyOf(story)
    for (const [index, stage] of told.stages.slice(0, stages).entries()) {
      for (const path of stage) {
        const begins = at + 100 * index
        if (told.effects.includes(path)) this.request(`${id}:${path}`, begins + 10)
        this.outcome(id, path, begins)
      }
    }
    const finishedAt = START + at + 100 * stages
    record.runs.push({
      id,
      story,
      state,
      epoch: 0,
      recoveries: 0,
      dead: false,
      scheduleId: null,
      idempotencyKey: key,
      parentRunId: null,
      parentPath: null,
      createdAt: START + at,
      finishedAt,
    })
    record.sightings.push({ run: id, state, finishedAt })
    this.tell(id, 'run.created')
    for (const step of told.stages.slice(0, stages).flat())
      if (!step.endsWith(']')) for (const event of ['step.started', 'step.finished']) this.tell(id, event, step)
    this.tell(id, 'run.finished')
    if (told.keeps !== undefined && stages === told.stages.length) this.artifact(id, 1)
    record.answers.push({ run: id, server: 'api-1', asked: 'state', said: state })
    record.answers.push({ run: id, server: 'api-1', asked: 'again', said: id })
    return this
  }

  tell(run: string, event: string, step?: string): this {
    const { heard, again } = this.record.stream
    for (const events of [heard, again]) events.push({ id: (events.at(-1)?.id ?? 0) + 1, run, event, step })
    return this
  }

  artifact(run: string, n: number): this {
    const content = artifactOf(n)
    const sha256 = createHash('sha256').update(content).digest('hex')
    this.record.artifacts.push({ id: `artifact_${run}`, run, state: 'kept', size: content.length, sha256, n })
    this.record.answers.push({ run, server: 'api-1', asked: 'artifact', said: sha256 })
    return this
  }

  tick(id: string, schedule: string, at: number): this {
    const finishedAt = START + at + 100
    const row = {
      id,
      story: 'schedule',
      state: 'completed',
      epoch: 1,
      recoveries: 0,
      dead: false,
      idempotencyKey: null,
      parentRunId: null,
      parentPath: null,
    }
    this.record.runs.push({ ...row, scheduleId: schedule, createdAt: START + at, finishedAt })
    this.request(`${id}:tick`, at + 10)
    this.outcome(id, 'tick', at)
    return this
  }

  outcome(
    run: string,
    path: string,
    at: number,
    { attempt = 1, state = 'succeeded', action = null as string | null } = {},
  ): this {
    const [startedAt, finishedAt] = [START + at, START + at + 50]
    this.record.outcomes.push({ run, path, attempt, state, action, startedAt, finishedAt })
    return this
  }

  request(
    key: string | undefined,
    at: number,
    { limit = undefined as string | undefined, ms = 30, says = 'POST' } = {},
  ): this {
    const id = ++this.effectIds
    this.record.effects.push({ kind: 'arrived', id, at: START + at, key, request: `${says} ${key}`, limit })
    this.record.effects.push({ kind: 'ended', id, at: START + at + ms, status: 200 })
    return this
  }
}

/** One of each story, a kill at 1,000 ms that lost an answer, a cancel at 2,300 ms, a schedule with three slots. */
export function sound(): Wave {
  const wave = new Wave()
    .run('run_chain', 'chain', { at: 700 })
    .run('run_batch', 'batch')
    .run('run_cancel', 'cancel', { state: 'cancelled', at: 2_000, stages: 3 })
    .run('run_signal', 'signal', { at: 500 })
    .run('run_retry', 'retry', { at: 200 })
    .request('run_retry:flaky', 60)
    .outcome('run_retry', 'flaky', 50, { attempt: 0, state: 'retrying' })
    .run('run_once', 'once', { at: 300 })
    .run('run_count', 'count', { at: 400 })
    .run('run_plan', 'schedule', { at: 100 })
    .run('run_job', 'job-once', { at: 600 })
    .run('run_approved', 'approval', { at: 300 })
    .run('run_declined', 'approval', { at: 300, state: 'failed', stages: 1 })
    .outcome('run_declined', 'gate', 400, { state: 'failed' })
    .tick('run_tick_1', 'every', 2_010)
    .tick('run_tick_2', 'every', 4_900)
    .tick('run_tick_3', 'every', 6_001)
  wave.record.counted = 1
  // The kill: four's first request had no outcome.
  wave.request('run_chain:four', 990)
  wave.record.effects.sort((one, other) => one.at - other.at)
  wave.record.faults.push({ kind: 'death', at: START + 1_000, server: 'api-1', cause: 'kill api' })
  wave.record.faults.push({ kind: 'up', at: START + 3_000, server: 'api-1' })
  wave.record.faults.push({ kind: 'stopped', at: START + 90_000, server: 'api-1', code: 0 })
  for (const [run, approved] of [
    ['run_approved', true],
    ['run_declined', false],
  ] as const)
    for (const said of [true, false])
      wave.record.ledger.push({
        kind: 'decided',
        at: START,
        run,
        approved: said,
        status: said === approved ? 200 : 409,
      })
  wave.record.answers.push({ run: '', server: 'api-1', asked: 'audit', said: 'true' })
  wave.record.ledger.push({ kind: 'cancelled', at: START + 2_310, run: 'run_cancel' })
  wave.record.ledger.push({ kind: 'scheduled', at: START + 150, schedule: 'every', everySeconds: 2 })
  wave.record.ledger.push({ kind: 'unscheduled', at: START + 8_000, schedule: 'every' })
  return wave
}

export function rowOf({ record }: Wave, id: string) {
  const row = record.runs.find((run) => run.id === id)
  if (!row) throw new Error(`no run ${id}`)
  return row
}
