import { Injectable } from '@nestjs/common'
import type { EntityManager } from 'typeorm'
import { requestContext } from '../../platform/http/request-context.js'
import type { Json, JsonObject } from '../../platform/json.js'
import { redact } from '../../platform/log/redact.js'
import type { AuditOutcome } from './audit-entry.entity.js'
import { type AuditId, AuditSigner, type Statements } from './audit-signer.js'

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

/** Who did what a statement of the caller's own tells of. What acts in an account's name, such as a channel, has an id and no e-mail. */
export type AuditActor = Audited['actor'] & { accountId: string }

/** An entry that a statement of the caller's own writes, with the change that it tells of. It has to say just this. */
export interface AuditNote {
  id: AuditId
  actorId: string
  actorEmail?: string
  ip?: string
  requestId?: string
}

const INSERT = `
  insert into audit_entry (id, tenant_id, at, actor_id, actor_email, action, resource_type, resource_id, outcome, ip,
    request_id, before, after)
  values ($1, $2, clock_timestamp(), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

/** In characters: what a text of a state may have, and a state as a whole. The trail is kept long, and is no second store of values. */
const LONGEST_TEXT = 2_000
const LARGEST_STATE = 32_768

/** Writes down who did what, signed. An entry commits with the change that it tells of, or not at all. */
@Injectable()
export class AuditTrail {
  constructor(private readonly signer: AuditSigner = AuditSigner.throwaway()) {}

  async record(
    tx: EntityManager,
    { actor, action, resource, outcome = 'success', before, after }: Audited,
  ): Promise<void> {
    const context = requestContext()
    const entry = {
      tenantId: actor.tenantId,
      actorId: actor.accountId ?? null,
      actorEmail: actor.email ?? null,
      action,
      resourceType: resource[0],
      resourceId: resource[1] ?? null,
      outcome,
      ip: context?.ip ?? null,
      requestId: context?.requestId ?? null,
      before: shown(before),
      after: shown(after),
    } satisfies Statements
    await tx.query(INSERT, [
      this.signer.idOf(entry),
      entry.tenantId,
      entry.actorId,
      entry.actorEmail,
      entry.action,
      entry.resourceType,
      entry.resourceId,
      entry.outcome,
      entry.ip,
      entry.requestId,
      entry.before && JSON.stringify(entry.before),
      entry.after && JSON.stringify(entry.after),
    ])
  }

  /** For an entry that another statement writes: the journal's, of a run that somebody starts. It holds nothing secret. */
  note(actor: AuditActor, audited: Omit<Audited, 'actor'>): AuditNote {
    const { ip, requestId } = requestContext() ?? {}
    return { id: this.sign({ actor, ...audited }), actorId: actor.accountId, actorEmail: actor.email, ip, requestId }
  }

  /** The id of such an entry. */
  sign({ actor, action, resource, outcome = 'success', before, after }: Audited): AuditId {
    const { ip, requestId } = requestContext() ?? {}
    return this.signer.idOf({
      tenantId: actor.tenantId,
      actorId: actor.accountId,
      actorEmail: actor.email,
      action,
      resourceType: resource[0],
      resourceId: resource[1],
      outcome,
      ip,
      requestId,
      before,
      after,
    })
  }
}

/** A state as the trail keeps it: without what is secret, and not too long. */
function shown(state: JsonObject | undefined): JsonObject | null {
  if (!state) return null
  const text = JSON.stringify(redact(state), (_, value) => (typeof value === 'string' ? shortened(value) : value))
  return text.length > LARGEST_STATE ? { omitted: `${text.length} characters` } : (JSON.parse(text) as JsonObject)
}

function shortened(text: string): Json {
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text
}
