import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import type { ApprovalWait, Decision } from '../../../engine/host.js'
import type { Principal, Role } from '../../../platform/auth/principal.js'
import { CLOCK, type Clock } from '../../../platform/clock/clock.js'
import { Sql, type Statement } from '../../../platform/database/sql.js'
import { newId } from '../../../platform/ids.js'
import { AuditTrail } from '../../audit/audit-trail.js'
import { Turns } from '../host/turns.js'
import { isFinal, type RunState } from '../run-state.js'
import { RunAlreadyFinished, RunNotFound } from '../runs.errors.js'
import { AlreadyDecided, MayNotApprove, NothingToApprove } from './approvals.errors.js'

/** Who may decide where a node names nobody. */
const DECIDERS: readonly Role[] = ['admin', 'editor']
/** The part of the pool's connections that waits may hold. */
const SHARE = 0.2

/** A step's wait for somebody's word, and that word once it is given. */
export interface StoredApproval {
  id: string
  path: string
  node: string
  approvers: string[]
  createdAt: Date
  deadline?: Date
  decision?: 'approved' | 'declined' | 'expired'
  decidedBy?: string
  decidedByEmail?: string
  note?: string
  decidedAt?: Date
}

interface ApprovalRow {
  id: string
  path: string
  node: string
  approvers: string[]
  created_at: Date
  deadline: Date | null
  decision: StoredApproval['decision'] | null
  decided_by: string | null
  decided_by_email: string | null
  note: string | null
  decided_at: Date | null
}

/**
 * Waits of steps for somebody's approval. A wait is a row, so that it holds nothing and survives everything; the first decision is the only
 * one, whoever races for it.
 */
@Injectable()
export class ApprovalsService {
  private readonly turns: Turns

  constructor(
    private readonly sql: Sql,
    @InjectDataSource() private readonly database: DataSource,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.turns = Turns.share(sql.size, SHARE)
  }

  /** What was decided on a step's work; until then, how long it may still wait. The wait begins now unless it is recorded already. */
  async await(
    run: { id: string; tenantId: string; accountId: string },
    { path, node, approval: { approvers, timeoutMs } }: Omit<ApprovalWait, 'mayPark'>,
    signal: AbortSignal,
  ): Promise<Decision | { deadline?: Date }> {
    const now = this.clock.now()
    const deadline = timeoutMs === undefined ? null : new Date(now.getTime() + timeoutMs)
    const row = await this.turns.take(run.accountId, signal, async () => {
      const wait = [newId('approval'), run.id, path, node, run.tenantId, run.accountId, approvers, now, deadline]
      await this.sql.query(BEGIN, wait)
      await this.sql.query(EXPIRE, [run.id, path, now])
      const [found] = await this.sql.query<ApprovalRow>(FIND, [run.id, path])
      return found
    })
    if (!row?.decision) return { deadline: row?.deadline ?? undefined }
    return {
      approved: row.decision === 'approved',
      by: row.decision === 'expired' ? undefined : (row.decided_by_email ?? row.decided_by ?? 'somebody'),
      note: row.note ?? undefined,
    }
  }

  /** All waits of a run, the oldest first. */
  async ofRun(runId: string): Promise<StoredApproval[]> {
    return (await this.sql.query<ApprovalRow>(OF_RUN, [runId])).map(toApproval)
  }

  /** Whether the caller may, or might have, decided on something of this run, and may therefore see it. */
  async waitsFor(caller: Principal, runId: string): Promise<boolean> {
    return (await this.accountFor(caller, runId)) !== undefined
  }

  /** Whose this run is, where the caller may see it as one who decides on something of it. */
  async accountFor(caller: Principal, runId: string): Promise<string | undefined> {
    const { names, mayByRole } = deciderOf(caller)
    const asked = [runId, caller.tenantId, names, mayByRole, caller.accountId]
    const [row] = await this.sql.query<{ account_id: string }>(OPEN_FOR, asked)
    return row?.account_id
  }

  /**
   * The caller's word on the oldest open wait of a node. Exactly one decision is taken: everybody else is told that there is one. Throws
   * `RunNotFound` where the caller neither owns the run nor may decide on anything of it.
   */
  async decide(
    caller: Principal,
    runId: string,
    { node, approved, note }: { node: string; approved: boolean; note?: string },
  ): Promise<StoredApproval> {
    const now = this.clock.now()
    return await this.database.transaction(async (tx) => {
      const [run] = await tx.query<{ account_id: string; state: RunState }[]>(LOCK_RUN, [runId, caller.tenantId])
      const waits = run ? await tx.query<ApprovalRow[]>(LOCK_WAITS, [runId]) : []
      const isOwner = run?.account_id === caller.accountId
      const groups = run ? await tx.query<{ name: string }[]>(GROUPS, [run.account_id, caller.accountId]) : []
      const mine = this.decidable(caller, groups, waits)
      if (!run || (!isOwner && mine.length === 0)) throw new RunNotFound(runId)
      const ofNode = waits.filter((wait) => wait.node === node)
      const open = ofNode.find(({ decision }) => decision === null)
      if (!open && ofNode.length > 0) throw new AlreadyDecided(runId, node, ofNode.at(-1)?.decision ?? '')
      if (isFinal(run.state)) throw new RunAlreadyFinished(runId, run.state)
      if (!open) throw new NothingToApprove(runId, node)
      if (!mine.includes(open)) throw new MayNotApprove(node)
      if (open.deadline && open.deadline <= now) throw new AlreadyDecided(runId, node, 'expired')
      const decision = approved ? 'approved' : 'declined'
      const words = [decision, caller.accountId, caller.email, note ?? null, now]
      const [[decided]] = await tx.query<[ApprovalRow[], number]>(DECIDE, [open.id, ...words])
      if (!decided) throw new AlreadyDecided(runId, node, 'decided')
      await tx.query(WAKE, [runId, now])
      await this.audit.record(tx, {
        actor: caller,
        action: approved ? 'run.approve' : 'run.decline',
        resource: ['run', runId],
        after: { node, path: open.path, ...(note !== undefined && { note }) },
      })
      return toApproval(decided)
    })
  }

  /** Those of these waits that the caller may decide on. */
  private decidable(
    caller: Principal,
    groups: readonly { name: string }[],
    waits: readonly ApprovalRow[],
  ): ApprovalRow[] {
    const { names: own, mayByRole } = deciderOf(caller)
    const names = [...own, ...groups.map(({ name }) => name)]
    return waits.filter(({ approvers }) =>
      approvers.length === 0 ? mayByRole : approvers.some((one) => names.includes(one)),
    )
  }
}

/** One who may decide: the words that a node may mean them by, those of groups aside, and whether the role alone will do where it means nobody. */
export interface Decider {
  tenantId: string
  accountId: string
  names: string[]
  mayByRole: boolean
}

export function deciderOf({ tenantId, accountId, email, role }: Principal): Decider {
  return { tenantId, accountId, names: [accountId, email, role], mayByRole: DECIDERS.includes(role) }
}

function toApproval(row: ApprovalRow): StoredApproval {
  return {
    id: row.id,
    path: row.path,
    node: row.node,
    approvers: row.approvers,
    createdAt: row.created_at,
    deadline: row.deadline ?? undefined,
    decision: row.decision ?? undefined,
    decidedBy: row.decided_by ?? undefined,
    decidedByEmail: row.decided_by_email ?? undefined,
    note: row.note ?? undefined,
    decidedAt: row.decided_at ?? undefined,
  }
}

/** Of a run that was cancelled meanwhile nothing waits; the lock keeps a cancel from coming in between. */
const BEGIN: Statement = {
  name: 'approval_begin',
  text: `insert into approval (id, run_id, path, node, tenant_id, account_id, approvers, created_at, deadline)
    select $1, id, $3, $4, $5, $6, $7, $8, $9 from run
      where id = $2 and state in ('queued', 'running', 'waiting') for key share
    on conflict (run_id, path) do nothing`,
}

const EXPIRE: Statement = {
  name: 'approval_expire',
  text: `update approval set decision = 'expired', decided_at = $3
    where run_id = $1 and path = $2 and decision is null and deadline <= $3`,
}

const COLUMNS =
  'id, path, node, approvers, created_at, deadline, decision, decided_by, decided_by_email, note, decided_at'

const FIND: Statement = {
  name: 'approval_find',
  text: `select ${COLUMNS} from approval where run_id = $1 and path = $2`,
}

const OF_RUN: Statement = {
  name: 'approval_of_run',
  text: `select ${COLUMNS} from approval where run_id = $1 order by created_at, id`,
}

/** The groups with a member by which a node may mean it: those of the run's own account, by id or by name. */
const groupsOf = (account: string, member: string) =>
  `select unnest(array[g.id, g.name]) as name from flow_group g where g.account_id = ${account} and g.members @> array[${member}::text]`

const GROUPS = groupsOf('$1', '$2')

/** Whether an approval `a` may be decided on; the rest is where the values of a `Decider` stand. */
export const mayDecide = (names: string, mayByRole: string, member: string) =>
  `(a.approvers && (${names}::text[] || array(${groupsOf('a.account_id', member)})) or a.approvers = '{}' and ${mayByRole}::boolean)`

const OPEN_FOR: Statement = {
  name: 'approval_open_for',
  text: `select account_id from approval a where run_id = $1 and tenant_id = $2 and ${mayDecide('$3', '$4', '$5')} limit 1`,
}

/** Held to the end, so that the run neither ends nor is parked in between. */
const LOCK_RUN = 'select account_id, state from run where id = $1 and tenant_id = $2 for no key update'

const LOCK_WAITS = `select ${COLUMNS} from approval where run_id = $1 order by created_at, id for update`

const DECIDE = `update approval set decision = $2, decided_by = $3, decided_by_email = $4, note = $5, decided_at = $6
  where id = $1 and decision is null returning ${COLUMNS}`

/** A run that is just being parked keeps this wake-up: the journal's release does not overwrite it. */
const WAKE = `update run set wake_at = $2 where id = $1 and state in ('running', 'waiting')`
