import { Injectable } from '@nestjs/common'
import { Sql } from '../../../platform/database/sql.js'
import { type Page, type RunFilter, type RunRow, type RunSummary, toSummary } from '../runs.queries.js'

/** Runs by what they come from: few of all there are, found by indexes of their own. */
@Injectable()
export class LineageQueries {
  constructor(private readonly sql: Sql) {}

  /** Newest first. */
  async page(filter: RunFilter, limit: number, offset: number): Promise<Page<RunSummary>> {
    const values: unknown[] = [filter.accountId]
    const tests = ['account_id = $1']
    const given: string[] = []
    for (const [column, value] of Object.entries({
      flow_id: filter.flowId,
      parent_run_id: filter.parentId,
      resumed_from: filter.resumedFrom,
      dead: filter.isDead,
    })) {
      if (value === undefined) continue
      tests.push(`${column} = $${values.push(value)}`)
      given.push(column)
    }
    if (filter.states) tests.push(`state = any ($${values.push(filter.states)})`)
    const where = tests.join(' and ')
    const name = `run_lineage_${given.join('_')}${filter.states ? '_state' : ''}`
    const [count] = await this.sql.query<{ total: number }>(
      { name: `${name}_total`, text: `select count(*)::integer as total from run where ${where}` },
      values,
    )
    const rows = await this.sql.query<RunRow>(
      {
        name,
        text: `select id, account_id, flow_id, revision, state, parent_run_id, resumed_from, error, created_at, finished_at
          from run where ${where} order by id desc limit $${values.length + 1} offset $${values.length + 2}`,
      },
      [...values, limit, offset],
    )
    return { items: rows.map(toSummary), total: count?.total ?? 0 }
  }
}
