import { Injectable } from '@nestjs/common'
import type { EntityManager } from 'typeorm'
import { requestContext } from '../../platform/http/request-context.js'
import { newId } from '../../platform/ids.js'
import type { JsonObject } from '../../platform/json.js'
import { redact } from '../../platform/log/redact.js'
import type { AuditOutcome } from './audit-entry.entity.js'

/** What a module says of a thing that it did. The trail itself adds when, from where and in which request. */
export interface Audited {
  /** Who did it. Where nobody is known, only the tenant is. */
  actor: { tenantId: string; accountId?: string; email?: string }
  /** Noun and verb, such as `flow.update`. */
  action: string
  /** Its kind and, where it has one, its id. */
  resource: readonly [type: string, id?: string]
  /** Default `success`. */
  outcome?: AuditOutcome
  before?: JsonObject
  after?: JsonObject
}

const INSERT = `
  insert into audit_entry (id, tenant_id, at, actor_id, actor_email, action, resource_type, resource_id, outcome, ip,
    request_id, before, after)
  values ($1, $2, clock_timestamp(), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

/** Writes down who did what. An entry commits with the change that it tells of, or not at all. */
@Injectable()
export class AuditTrail {
  async record(tx: EntityManager, entry: Audited): Promise<void> {
    const { actor, action, resource, outcome = 'success' } = entry
    const context = requestContext()
    await tx.query(INSERT, [
      newId('audit'),
      actor.tenantId,
      actor.accountId,
      actor.email,
      action,
      resource[0],
      resource[1],
      outcome,
      context?.ip,
      context?.requestId,
      withoutSecrets(entry.before),
      withoutSecrets(entry.after),
    ])
  }
}

function withoutSecrets(state: JsonObject | undefined): string | null {
  return state ? JSON.stringify(redact(state)) : null
}
