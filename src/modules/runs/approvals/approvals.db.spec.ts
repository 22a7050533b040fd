import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../../test/support/database.js'
import { type FakeNode, fakeSteps, stepType } from '../../../engine/flow.fake.js'
import type { Principal, Role } from '../../../platform/auth/principal.js'
import { systemClock } from '../../../platform/clock/clock.js'
import { AuditEntry } from '../../audit/audit-entry.entity.js'
import { AuditTrail } from '../../audit/audit-trail.js'
import { acceptRun, type EngineProcess, engineProcess } from '../run-engine.fake.js'
import { ApprovalsService } from './approvals.service.js'

let database: TestDatabase
let approvals: ApprovalsService
let running: EngineProcess
let worked = 0
const work = stepType('work', () => ({ output: ++worked }), { stepClass: 'effect' })

const approval = (rest: Partial<NonNullable<FakeNode['approval']>> = {}) => ({
  approval: { approvers: [], onDecline: 'fail' as const, ...rest },
})

beforeAll(async () => {
  database = await testDatabase([AuditEntry])
  approvals = new ApprovalsService(database.sql, database.dataSource, new AuditTrail(), systemClock)
  const graphs = new Map<string, Record<string, FakeNode>>([
    ['flow_plain', { ask: { type: 'work', ...approval(), next: { default: 'end' } }, end: { type: 'echo' } }],
    ['flow_named', { ask: { type: 'work', ...approval({ approvers: ['account_boss', 'viewer'] }) } }],
    ['flow_grouped', { ask: { type: 'work', ...approval({ approvers: ['Bosses', 'group_leads'] }) } }],
    ['flow_short', { ask: { type: 'work', ...approval({ timeoutMs: 50 }) } }],
  ])
  running = await engineProcess({ sql: database.sql, steps: [...fakeSteps, work], graphs, approvals })
})

afterAll(async () => {
  await running.engine.stop(0)
  await database.drop()
})

describe('an approval', () => {
  it('is waited for without a process, and its work begins once it is there', async () => {
    const before = worked
    const id = await waiting('flow_plain')
    expect(await stored(id)).toMatchObject({ state: 'waiting', owner: null, wake_at: null })
    expect(worked).toBe(before)
    await approvals.decide(caller('editor', 'account_e'), id, { node: 'ask', approved: true, note: 'fine' })
    await ended(id, 'completed')
    expect(worked).toBe(before + 1)
    expect(await approvals.ofRun(id)).toMatchObject([
      { node: 'ask', path: 'ask', decision: 'approved', decidedBy: 'account_e', note: 'fine' },
    ])
    const audit = await database.dataSource.getRepository(AuditEntry).findBy({ resourceId: id })
    expect(audit).toMatchObject([{ action: 'run.approve', actorId: 'account_e', after: { node: 'ask', note: 'fine' } }])
  })

  it('is given once, however many race for it', async () => {
    const id = await waiting('flow_plain')
    const racing = Array.from({ length: 100 }, (_, at) =>
      approvals.decide(caller('editor', `account_${at}`), id, { node: 'ask', approved: at % 2 === 0 }),
    )
    const outcomes = await Promise.allSettled(racing)
    const won = outcomes.filter(({ status }) => status === 'fulfilled')
    expect(won).toHaveLength(1)
    const lost = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason.slug] : []))
    // A run that went on is over for whoever comes later.
    expect(lost.filter((slug) => !['approval-decided', 'run-finished'].includes(slug))).toEqual([])
    const [kept] = await approvals.ofRun(id)
    await ended(id, kept?.decision === 'approved' ? 'completed' : 'failed')
    expect(await approvals.ofRun(id)).toEqual([kept])
  }, 60_000)

  it('that is declined ends the run with who declined it, and why', async () => {
    const id = await waiting('flow_plain')
    await approvals.decide(caller('admin', 'account_x'), id, { node: 'ask', approved: false, note: 'too dear' })
    await ended(id, 'failed')
    expect(await stored(id)).toMatchObject({
      error: { code: 'declined', message: 'declined by account_x@example.com: too dear', node: 'ask' },
    })
  })

  it('that nobody gives in time is declined', async () => {
    const id = await acceptRun(running.engine, 'flow_short')
    await ended(id, 'failed')
    expect(await stored(id)).toMatchObject({ error: { code: 'approval_timeout' } })
    expect(await approvals.ofRun(id)).toMatchObject([{ decision: 'expired' }])
  })

  it('is not given any more once its time is over, though nobody has looked since', async () => {
    const id = await waiting('flow_plain')
    await database.dataSource.query(`update approval set deadline = now() - interval '1 s' where run_id = $1`, [id])
    const deciding = approvals.decide(caller('editor', 'account_e'), id, { node: 'ask', approved: true })
    await expect(deciding).rejects.toMatchObject({ slug: 'approval-decided' })
    expect(await approvals.ofRun(id)).toMatchObject([{ decision: undefined }])
  })

  it('is given only by those who may, and seen only by those and the owner', async () => {
    const plain = await waiting('flow_plain')
    const named = await waiting('flow_named')
    const decide = (who: Principal, id: string) => approvals.decide(who, id, { node: 'ask', approved: true })
    const refusal = (promise: Promise<unknown>) =>
      promise.then(
        () => 'none',
        (error) => error.slug,
      )
    expect(await refusal(decide(caller('user', 'account_other'), plain))).toBe('run-not-found')
    expect(await refusal(decide(caller('user', 'account_a'), plain))).toBe('forbidden')
    expect(await refusal(decide(caller('editor', 'account_e', 'tenant_other'), plain))).toBe('run-not-found')
    expect(await refusal(decide(caller('admin', 'account_e'), named))).toBe('run-not-found')
    expect(await approvals.waitsFor(caller('viewer', 'account_v'), named)).toBe(true)
    expect(await approvals.waitsFor(caller('admin', 'account_e'), named)).toBe(false)
    expect(await refusal(approvals.decide(caller('editor', 'account_e'), plain, { node: 'end', approved: true }))).toBe(
      'nothing-to-approve',
    )
    await decide(caller('user', 'account_boss'), named)
    await ended(named, 'completed')
    await decide(caller('editor', 'account_e'), plain)
    await ended(plain, 'completed')
  })

  it('is given by members of a group that it names, if the group is of the same account', async () => {
    const owner = (await stored(await waiting('flow_grouped'))).account_id
    await database.dataSource.query(
      `insert into account (id, tenant_id, name, email, role, password_hash, created_at, updated_at)
         select id, 'default', '', id, 'user', '', now(), now() from unnest(array[$1, 'account_other']) as id
         on conflict do nothing`,
      [owner],
    )
    await database.dataSource.query(
      `insert into flow_group (id, tenant_id, account_id, name, index, members, created_at, updated_at) values
         ('group_bosses', 'default', $1, 'Bosses', 0, '{account_b}', now(), now()),
         ('group_leads', 'default', $1, 'Leads', 0, '{account_l}', now(), now()),
         ('group_false', 'default', 'account_other', 'Bosses', 0, '{account_o}', now(), now())
         on conflict do nothing`,
      [owner],
    )
    for (const member of ['account_b', 'account_l']) {
      const id = await waiting('flow_grouped')
      expect(await approvals.waitsFor(caller('user', member), id)).toBe(true)
      expect(await approvals.waitsFor(caller('admin', 'account_o'), id)).toBe(false)
      const foreign = approvals.decide(caller('admin', 'account_o'), id, { node: 'ask', approved: true })
      await expect(foreign).rejects.toMatchObject({ slug: 'run-not-found' })
      await approvals.decide(caller('user', member), id, { node: 'ask', approved: true })
      await ended(id, 'completed')
    }
  })

  it('of a run that was cancelled is not given any more', async () => {
    const id = await waiting('flow_plain')
    await database.dataSource.query('select run_cancel($1, $2, now())', ['account_a', id])
    await expect(
      approvals.decide(caller('editor', 'account_e'), id, { node: 'ask', approved: true }),
    ).rejects.toMatchObject({ slug: 'run-finished' })
  })
})

function caller(role: Role, accountId: string, tenantId = 'tenant_t'): Principal {
  const email = `${accountId}@example.com`
  return { accountId, tenantId, role, email, name: email, credential: { kind: 'password-token' } }
}

/** A run of that flow which waits for its approval. */
async function waiting(flowId: string): Promise<string> {
  const id = await acceptRun(running.engine, flowId)
  await vi.waitUntil(async () => (await stored(id)).state === 'waiting', { timeout: 10_000, interval: 10 })
  return id
}

async function ended(id: string, state: string): Promise<void> {
  running.engine.due()
  await vi.waitUntil(async () => (await stored(id)).finished_at !== null, { timeout: 10_000, interval: 10 })
  expect(await stored(id)).toMatchObject({ state })
}

async function stored(id: string) {
  const [row] = await database.dataSource.query('select * from run where id = $1', [id])
  return row
}
