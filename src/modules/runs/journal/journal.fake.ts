import type { TestDatabase } from '../../../../test/support/database.js'
import { newId } from '../../../platform/ids.js'
import type { NewRun, Writer } from './records.js'

/** A process that writes, for as long as any test takes. */
export async function newWriter(database: TestDatabase): Promise<Writer> {
  const [row] = await database.dataSource.query(
    `insert into engine_instance (id, host, pid, lease_until) values ($1, 'test', 1, now() + interval '1 hour') returning id, fence`,
    [newId('engine')],
  )
  return row
}

/** A run to accept. */
export function newRun(members: Partial<NewRun> = {}): NewRun {
  return {
    id: newId('run'),
    tenantId: 'tenant_t',
    accountId: 'account_a',
    flowId: 'flow_f',
    revision: 1,
    state: 'running',
    trigger: 'api',
    input: { a: 1 },
    createdAt: new Date(),
    ...members,
  }
}
