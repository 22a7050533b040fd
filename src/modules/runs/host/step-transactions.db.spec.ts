import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { testConfig } from '../../../../test/support/config.js'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { Later } from '../../../engine/flow.fake.js'
import type { StepOutcome } from '../../../engine/host.js'
import { type RunIdentity, StepError, type Transaction } from '../../../engine/step.js'
import { systemClock } from '../../../platform/clock/clock.js'
import { Sealer } from '../../../platform/crypto/sealer.js'
import { LOCKS } from '../../../platform/database/advisory-locks.js'
import { Sql, type SqlSession } from '../../../platform/database/sql.js'
import { newId } from '../../../platform/ids.js'
import { KvStore } from '../../kv/kv-store.js'
import { within } from '../../steps/transactions.js'
import type { Writer } from '../journal/records.js'
import type { LargeValues } from '../journal/spills.js'
import { LeaseLost } from '../runs.errors.js'
import { type StepOf, StepTransactions } from './step-transactions.js'

let database: TestDatabase
let owner: Writer
let transactions: StepTransactions
let entries: KvStore
let run: RunIdentity & { epoch: number }
const never = new AbortController().signal

beforeAll(async () => {
  database = await testDatabase()
  entries = new KvStore(database.sql, new Sealer(testConfig()), systemClock)
})

beforeEach(async () => {
  const id = newId('engine')
  const [{ fence }] = await database.dataSource.query(
    `insert into engine_instance (id, host, pid, lease_until) values ($1, 'here', 1, now() + interval '1 hour') returning fence`,
    [id],
  )
  owner = { id, fence }
  transactions = new StepTransactions(database.sql, owner)
  run = { id: newId('run'), flowId: 'flow_1', tenantId: 'tenant_t', accountId: newId('account'), epoch: 0 }
  await database.dataSource.query(
    `insert into run (id, tenant_id, account_id, flow_id, revision, state, trigger, input, owner, created_at)
      values ($1, 'tenant_t', $2, 'flow_1', 1, 'running', 'api', '{}', $3, now())`,
    [run.id, run.accountId, owner.id],
  )
})

afterAll(() => database.drop())

const step = (path = 'count', attempt = 1): StepOf => ({ run, path, attempt, startedAt: new Date() })

/** Adds 1 to an entry, with the outcome that says so. */
const counting =
  (path = 'count', attempt = 1) =>
  async (transaction: Transaction): Promise<StepOutcome> => {
    const output = await entries.within(transaction).increment(run, 'counter', 1)
    const now = new Date()
    return { path, attempt, node: path, nodeType: 'store', state: 'succeeded', output, startedAt: now, finishedAt: now }
  }

const counter = () => entries.get(run, 'counter')
const outcomes = async (): Promise<string[]> => {
  const rows = await database.dataSource.query('select path from step_outcome where run_id = $1 order by path', [
    run.id,
  ])
  return rows.map(({ path }: { path: string }) => path)
}

/** A pool whose commits are carried out, and not answered, `times` times. */
class UnansweredSql extends Sql {
  constructor(private times: number) {
    super({ connectionString: database.url, max: 2 })
  }

  override async transaction<T>(work: (tx: SqlSession) => Promise<T>): Promise<T> {
    const result = await super.transaction(work)
    if (this.times-- > 0) throw new Error('Connection terminated unexpectedly')
    return result
  }
}

/** A pool that commits when the test says so. */
class HeldSql extends Sql {
  readonly about: Promise<void>
  commit = () => {}
  private arrive = () => {}

  constructor() {
    super({ connectionString: database.url, max: 2 })
    this.about = new Promise((resolve) => {
      this.arrive = resolve
    })
  }

  override async transaction<T>(work: (tx: SqlSession) => Promise<T>): Promise<T> {
    return await super.transaction(async (tx) => {
      const result = await work(tx)
      this.arrive()
      await new Promise<void>((resolve) => {
        this.commit = resolve
      })
      return result
    })
  }
}

/** Sessions of this database that wait for a lock in a statement like this. */
async function waiting(statement: string): Promise<number> {
  const [{ count }] = await database.dataSource.query(
    `select count(*)::int as count from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query like '%' || $1 || '%'`,
    [statement],
  )
  return count
}

describe('a step in a transaction', () => {
  it('commits its effect and its outcome together', async () => {
    const outcome = await transactions.run(step(), counting(), never)
    expect(outcome).toMatchObject({ path: 'count', output: 1 })
    expect([await counter(), await outcomes()]).toEqual([1, ['count']])
  })

  it('leaves nothing of either when it fails', async () => {
    const failing = async (transaction: Transaction) => {
      await counting()(transaction)
      throw new StepError('no')
    }
    await expect(transactions.run(step(), failing, never)).rejects.toThrow('no')
    expect([await counter(), await outcomes()]).toEqual([undefined, []])
  })

  it('leaves nothing of either when its run was cancelled meanwhile', async () => {
    const cancel = new AbortController()
    const cancelled = async (transaction: Transaction) => {
      const outcome = await counting()(transaction)
      await database.dataSource.query(`update run set state = 'cancelled' where id = $1`, [run.id])
      setTimeout(() => cancel.abort(new Error('cancelled')), 20)
      return outcome
    }
    await expect(transactions.run(step(), cancelled, cancel.signal)).rejects.toThrow('cancelled')
    expect([await counter(), await outcomes()]).toEqual([undefined, []])
  })

  it('makes a cancel wait that comes when it is about to be committed', async () => {
    const sql = new HeldSql()
    try {
      const stepped = new StepTransactions(sql, owner).run(step(), counting(), never)
      await sql.about
      let cancelled = false
      const cancel = database.dataSource
        .query('select run_cancel($1, $2, now())', [run.accountId, run.id])
        .finally(() => {
          cancelled = true
        })
      await vi.waitUntil(async () => (await waiting('run_cancel')) > 0)
      expect(cancelled).toBe(false)
      sql.commit()
      expect(await stepped).toMatchObject({ output: 1 })
      await cancel
      expect([await counter(), await outcomes()]).toEqual([1, ['count']])
    } finally {
      await sql.close()
    }
  })

  it('is not committed by a process that was declared lost, nor for a run that another one took', async () => {
    const lost = async (transaction: Transaction) => {
      const outcome = await counting()(transaction)
      await database.dataSource.query('update engine_instance set lost_at = now() where id = $1', [owner.id])
      return outcome
    }
    const abandoned = AbortSignal.timeout(100)
    await expect(transactions.run(step(), lost, abandoned)).rejects.toThrow()
    await database.dataSource.query('update engine_instance set lost_at = null where id = $1', [owner.id])
    await database.dataSource.query('update run set epoch = 1 where id = $1', [run.id])
    await expect(transactions.run(step(), counting(), AbortSignal.timeout(100))).rejects.toThrow()
    expect([await counter(), await outcomes()]).toEqual([undefined, []])
  })

  it('tells that the run is another process’s when nobody says why', async () => {
    await database.dataSource.query(`update run set owner = 'engine_other' where id = $1`, [run.id])
    await expect(transactions.run(step(), counting(), never)).rejects.toThrow(LeaseLost)
  })

  it('is not repeated when its commit was not answered', async () => {
    const sql = new UnansweredSql(3)
    try {
      const work = vi.fn(counting())
      const outcome = await new StepTransactions(sql, owner).run(step(), work, never)
      expect(outcome).toMatchObject({ output: 1 })
      expect(work).toHaveBeenCalledTimes(1)
      expect([await counter(), await outcomes()]).toEqual([1, ['count']])
    } finally {
      await sql.close()
    }
  })

  it('waits for a commit under way before it looks whether that came to something', async () => {
    const sql = new UnansweredSql(1)
    const other = new Sql({ connectionString: database.url, max: 1 })
    try {
      const transactionsThere = new StepTransactions(sql, owner)
      let looking: Promise<StepOutcome> | undefined
      // As a server that goes on with a commit whose connection is gone.
      await other.transaction(async (tx) => {
        const lock = `select pg_advisory_xact_lock(${LOCKS.step}, hashtext($1))`
        await tx.query({ name: 'step_lock', text: lock }, [`${run.id} count`])
        looking = transactionsThere.run(step(), counting(), never)
        await vi.waitUntil(async () => (await waiting('idle_in_transaction_session_timeout')) > 0)
        expect(await counter()).toBeUndefined()
      })
      expect(await looking).toMatchObject({ output: 1 })
      expect(await counter()).toBe(1)
    } finally {
      await sql.close()
      await other.close()
    }
  })

  it('is begun again when its connection breaks in the middle', async () => {
    let times = 0
    const broken = async (transaction: Transaction) => {
      const outcome = await counting()(transaction)
      if (++times === 1)
        await database.dataSource.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and state = 'idle in transaction' and pid <> pg_backend_pid()`,
        )
      return outcome
    }
    expect(await transactions.run(step(), broken, never)).toMatchObject({ output: 1 })
    expect([times, await counter()]).toEqual([2, 1])
  })

  it('is begun again after a deadlock, which is no failure of the step', async () => {
    let times = 0
    const unlucky = async (transaction: Transaction) => {
      if (++times === 1)
        await within(transaction).query({
          name: 'raise',
          text: `do $$ begin raise exception 'unlucky' using errcode = 'deadlock_detected'; end $$`,
        })
      return await counting()(transaction)
    }
    expect(await transactions.run(step(), unlucky, never)).toMatchObject({ output: 1 })
    expect([times, await counter()]).toEqual([2, 1])
  })

  it('keeps a large output where large values are kept', async () => {
    const put: string[] = []
    const values: LargeValues = {
      hasLarge: ({ output }) => (output?.length ?? 0) > 100,
      async spilled(tenantId, { output, ...rest }) {
        put.push(`${tenantId} ${output?.length}`)
        return { ...rest, output_ref: 'sha256:0:0' }
      },
    }
    const large = async (transaction: Transaction) => ({
      ...(await counting()(transaction)),
      output: 'x'.repeat(200),
    })
    await new StepTransactions(database.sql, owner, values).run(step(), large, never)
    expect(put).toEqual(['tenant_t 202'])
    const [row] = await database.dataSource.query('select output, output_ref from step_outcome where run_id = $1', [
      run.id,
    ])
    expect(row).toEqual({ output: null, output_ref: 'sha256:0:0' })
  })

  it('writes nothing any more once its transaction is over', async () => {
    const over = new Later()
    let late: Promise<unknown> | undefined
    const leaving = async (transaction: Transaction) => {
      const joined = entries.within(transaction)
      late = over.promise.then(() => joined.set(run, 'late', 1))
      late.catch(() => {})
      return await counting()(transaction)
    }
    await transactions.run(step(), leaving, never)
    over.resolve()
    await expect(late).rejects.toThrow('the transaction of this step is over')
    expect(await entries.get(run, 'late')).toBeUndefined()
  })

  it('fails when it takes so long that its transaction might be that of a frozen process', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const stuck = transactions.run(step(), () => new Promise(() => {}), never)
      stuck.catch(() => {})
      await vi.waitFor(() => expect(vi.getTimerCount()).toBeGreaterThan(0))
      vi.advanceTimersByTime(25_000)
      await expect(stuck).rejects.toMatchObject({
        code: 'timeout',
        message: 'the step and its hooks took longer than 25 s',
      })
      expect(await outcomes()).toEqual([])
    } finally {
      vi.useRealTimers()
    }
  })

  it('counts once for each of many at the same time', async () => {
    const paths = Array.from({ length: 40 }, (_, index) => `count[${index}]`)
    await Promise.all(paths.map((path) => transactions.run(step(path), counting(path), never)))
    expect(await counter()).toBe(40)
    expect(await outcomes()).toHaveLength(40)
  })
})
