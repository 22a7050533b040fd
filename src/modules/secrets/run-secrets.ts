import { Inject, Injectable } from '@nestjs/common'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import type { SealedTable } from '../../platform/crypto/rotate-keys.js'
import { type Sealed, Sealer } from '../../platform/crypto/sealer.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import type { RunSecrets } from '../../steps/process/ports.js'

/** What is shorter cannot be told from the rest of a text, so it could not be hidden in a log. */
export const SHORTEST_RUN_SECRET = 4

/** How long values may be there without their run: they are kept before it is accepted. */
const MOST_ALONE_MS = 3_600_000

const KEEP: Statement = {
  name: 'run_secrets_keep',
  text: `insert into run_secret (run_id, name, tenant_id, key_id, sealed, created_at)
    select $1, name, $2, $3, sealed, $4 from unnest($5::text[], $6::bytea[]) as s (name, sealed)`,
}

const OF: Statement = {
  name: 'run_secrets_of',
  text: 'select name, key_id as "keyId", sealed from run_secret where run_id = $1 and tenant_id = $2 order by name',
}

const FORGET: Statement = { name: 'run_secrets_forget', text: 'delete from run_secret where run_id = $1' }

/** Of runs that were never accepted: the process ended in between. */
const SWEEP: Statement = {
  name: 'run_secrets_sweep',
  text: `delete from run_secret s where created_at < $1 and not exists (
      select from run r where r.id = s.run_id and r.state in ('queued', 'running', 'waiting'))`,
}

/**
 * The values of a run's arguments that are secrets, sealed beside the run from before it is accepted until it ends: whatever ends a run
 * removes them in its transaction.
 */
@Injectable()
export class SealedRunSecrets implements RunSecrets {
  constructor(
    private readonly sql: Sql,
    private readonly sealer: Sealer,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async keep(run: { id: string; tenantId: string }, secrets: Readonly<Record<string, string>>): Promise<void> {
    const entries = Object.entries(secrets)
    if (entries.length === 0) return
    const sealed = entries.map(([name, value]) => this.sealer.seal(value, placeOfRunSecret(run.id, name)).sealed)
    const names = entries.map(([name]) => name)
    await this.sql.query(KEEP, [run.id, run.tenantId, this.sealer.currentKeyId, this.clock.now(), names, sealed])
  }

  async of({ id, tenantId }: { id: string; tenantId: string }): Promise<Readonly<Record<string, string>>> {
    const rows = await this.sql.query<Sealed & { name: string }>(OF, [id, tenantId])
    return Object.fromEntries(rows.map((row) => [row.name, this.sealer.open(row, placeOfRunSecret(id, row.name))]))
  }

  /** What tells whether two requests have the same secrets, and may be kept where they may not. */
  marksOf(secrets: Readonly<Record<string, string>>): Record<string, string> {
    return Object.fromEntries(
      Object.entries(secrets).map(([name, value]) => [name, this.sealer.markOf(value, ['run_secret', name])]),
    )
  }

  /** Of a run that was not accepted. */
  async forget(runId: string): Promise<void> {
    await this.sql.query(FORGET, [runId])
  }

  /** Removes what has no run. */
  async sweep(): Promise<void> {
    await this.sql.query(SWEEP, [new Date(this.clock.now().getTime() - MOST_ALONE_MS)])
  }
}

/** Where they are, for the rotation of keys. */
export const sealedRunSecrets: SealedTable = {
  name: 'run_secret',
  primaryKey: ['run_id', 'name'],
  place: (row) => placeOfRunSecret(row.run_id ?? '', row.name ?? ''),
}

/** What a value is sealed for. */
export function placeOfRunSecret(runId: string, name: string): readonly string[] {
  return ['run_secret', runId, name]
}
