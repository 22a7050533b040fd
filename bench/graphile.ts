import { Logger, makeWorkerUtils, run, type WorkerUtils } from 'graphile-worker'
import pg from 'pg'
import type { Lab } from './lab.js'
import { closedLoop, Samples } from './load.js'
import { print, type Row } from './table.js'
import { Meter, perRun } from './usage.js'

const LANES = 64
const BATCH = 100
const BACKLOG = { short: 5_000, full: 20_000 }

const silent = new Logger(() => () => {})

/**
 * graphile-worker on the same Postgres: a queue, whose job is one step without a history. Its rates say what this machine can do, so that
 * ours can be quoted as ratios. `ours` is the runs of two steps per second that the engine reached without HTTP; 0 when not measured.
 */
export async function graphileWorker(lab: Lab, ours: number): Promise<void> {
  const url = await lab.database()
  const meter = await Meter.open(url)
  const pool = new pg.Pool({ connectionString: url, max: 20 })
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  const utils = await makeWorkerUtils({ pgPool: pool, logger: silent })
  await utils.migrate()
  const backlog = lab.options.short ? BACKLOG.short : BACKLOG.full
  const rows: Row[] = []
  const measure = async (what: string, work: (done: Samples) => Promise<void>) => {
    const before = await meter.settled()
    const done = new Samples()
    const from = performance.now()
    await work(done)
    const rate = done.count / ((performance.now() - from) / 1_000)
    rows.push({
      what,
      'jobs/s': Math.round(rate),
      ...(done.count > 0 ? done.columns('finish') : {}),
      ...perRun(before, await meter.settled(), done.count),
      ...(ours > 0 ? { 'our runs of 2 steps per job': (ours / rate).toFixed(2) } : {}),
    })
  }

  await measure(`add one, ${LANES} at once`, (done) => adding(lab, utils, done, 1))
  await measure(`add ${BATCH} in a call, 4 at once`, (done) => adding(lab, utils, done, BATCH))
  for (const [how, localQueue] of [
    ['drain, 10 at once', undefined],
    ['drain, 10 at once, fetched and completed in batches', { size: 500 }],
  ] as const) {
    await utils.withPgClient((client) => client.query('truncate graphile_worker._private_jobs'))
    await fill(utils, backlog)
    await measure(how, (done) => drain(pool, done, backlog, localQueue))
  }
  await measure(`add and process, ${LANES} at once`, (done) => addAndProcess(lab, pool, utils, done))

  await utils.release()
  await pool.end()
  await meter.close()
  print('graphile-worker 0.18 on the same Postgres (ms)', rows)
}

async function adding(lab: Lab, utils: WorkerUtils, done: Samples, batch: number): Promise<void> {
  await closedLoop(batch === 1 ? LANES : 4, lab.seconds, async () => {
    const began = performance.now()
    if (batch === 1) await utils.addJob('light', { n: 1 })
    else await utils.addJobs(jobs(batch))
    for (let job = 0; job < batch; job++) done.add(performance.now() - began)
  })
}

function jobs(count: number): { identifier: string; payload: object }[] {
  return Array.from({ length: count }, () => ({ identifier: 'light', payload: { n: 1 } }))
}

async function fill(utils: WorkerUtils, backlog: number): Promise<void> {
  for (let job = 0; job < backlog; job += 1_000) await utils.addJobs(jobs(1_000))
}

/** Every job takes its time from the start of the worker on: what matters here is the rate. */
async function drain(
  pool: pg.Pool,
  done: Samples,
  backlog: number,
  localQueue: { size: number } | undefined,
): Promise<void> {
  const began = performance.now()
  await new Promise<void>((resolve, reject) => {
    const light = () => {
      done.add(performance.now() - began)
      if (done.count === backlog) void worker.then((runner) => runner.stop()).then(resolve, reject)
    }
    const worker = run({
      pgPool: pool,
      logger: silent,
      concurrency: 10,
      noHandleSignals: true,
      taskList: { light },
      preset: localQueue ? { worker: { localQueue, completeJobBatchDelay: 0, failJobBatchDelay: 0 } } : {},
    })
    worker.catch(reject)
  })
}

/** As our own clients do: a lane adds a job, and the next once it is done. */
async function addAndProcess(lab: Lab, pool: pg.Pool, utils: WorkerUtils, done: Samples): Promise<void> {
  const waiting = new Map<string, () => void>()
  /** Done before the lane that added them had its answer. */
  const early = new Set<string>()
  const runner = await run({
    pgPool: pool,
    logger: silent,
    concurrency: 10,
    noHandleSignals: true,
    taskList: {
      light: (_, { job }) => {
        const told = waiting.get(String(job.id))
        if (told) told()
        else early.add(String(job.id))
        waiting.delete(String(job.id))
      },
    },
  })
  await closedLoop(LANES, lab.seconds, async () => {
    const began = performance.now()
    const { id } = await utils.addJob('light', { n: 1 })
    if (!early.delete(String(id))) await new Promise<void>((resolve) => waiting.set(String(id), resolve))
    done.add(performance.now() - began)
  })
  await runner.stop()
}
