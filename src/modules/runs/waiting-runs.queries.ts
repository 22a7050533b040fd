import { Injectable } from '@nestjs/common'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { type Decider, mayDecide } from './approvals/approvals.service.js'
import { LIVE_STATES, type RunState } from './run-state.js'
import { type Page, type RunRow, type RunSummary, toSummary } from './runs.queries.js'
import type { WaitsFor } from './steps/step-state.js'

/** Runs by what they wait for, and by who may put an end to that. */
export interface WaitingFilter {
  /** Whose runs; absent where it is those that somebody may decide on. */
  accountId?: string
  flowId?: string
  states?: readonly RunState[]
  waitsFor?: WaitsFor
  /** Only runs of the tenant that wait for this one's word. */
  decider?: Decider
}

/** Of a run `r`: whether it waits for anything but time. */
const FOR_ANSWER = `(
    exists (select from approval a where a.run_id = r.id and a.decision is null)
    or exists (select from signal_wait w where w.run_id = r.id and w.delivered_at is null)
    or exists (select from run c where c.parent_run_id = r.id and c.awaited and c.state in ('queued', 'running', 'waiting')))`

const REASONS: Statement = {
  name: 'run_waits_for',
  text: `select r.id, ${FOR_ANSWER} as "forAnswer" from run r where r.id = any ($1) and r.state = 'waiting'`,
}

/** Runs that wait, told apart by what for. An account has few of them at a time, and a tenant few that ask for somebody's word. */
@Injectable()
export class WaitingRunsQueries {
  constructor(private readonly sql: Sql) {}

  /** Of those among these that wait. */
  async reasons(ids: readonly string[]): Promise<Map<string, WaitsFor>> {
    if (ids.length === 0) return new Map()
    const rows = await this.sql.query<{ id: string; forAnswer: boolean }>(REASONS, [ids])
    return new Map(rows.map(({ id, forAnswer }) => [id, forAnswer ? 'answer' : 'time']))
  }

  /** Newest first. */
  async page(filter: WaitingFilter, limit: number, offset: number): Promise<Page<RunSummary>> {
    const { where, values, name } = conditionOf(filter)
    const [count] = await this.sql.query<{ total: number }>(
      { name: `${name}_total`, text: `select count(*)::integer as total from run r where ${where}` },
      values,
    )
    const rows = await this.sql.query<RunRow>(
      {
        name,
        text: `select id, account_id, flow_id, revision, state, parent_run_id, resumed_from, error, created_at, finished_at
          from run r where ${where} order by id desc limit $${values.length + 1} offset $${values.length + 2}`,
      },
      [...values, limit, offset],
    )
    return { items: rows.map(toSummary), total: count?.total ?? 0 }
  }
}

function conditionOf({ accountId, flowId, states = LIVE_STATES, waitsFor, decider }: WaitingFilter) {
  const values: unknown[] = [states]
  const next = (value: unknown) => `$${values.push(value)}`
  const tests = ['r.state = any ($1)']
  const words: string[] = []
  const test = (word: string, text: string) => {
    words.push(word)
    tests.push(text)
  }
  if (accountId !== undefined) test('own', `r.account_id = ${next(accountId)}`)
  if (flowId !== undefined) test('flow', `r.flow_id = ${next(flowId)}`)
  if (waitsFor !== undefined) test(waitsFor, waitsFor === 'answer' ? FOR_ANSWER : `not ${FOR_ANSWER}`)
  if (decider)
    test(
      'decider',
      `r.id in (select a.run_id from approval a where a.decision is null and a.tenant_id = ${next(decider.tenantId)}
        and ${mayDecide(next(decider.names), next(decider.mayByRole), next(decider.accountId))})`,
    )
  return { where: tests.join(' and '), values, name: `run_waiting_${words.join('_')}` }
}
