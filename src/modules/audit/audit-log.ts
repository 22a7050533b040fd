import { Injectable } from '@nestjs/common'
import { Forbidden } from '../../platform/auth/auth.errors.js'
import type { Principal } from '../../platform/auth/principal.js'
import { AccountNotFound } from '../accounts/accounts.errors.js'
import { type AuditFilter, type AuditPage, AuditQueries } from './audit.queries.js'
import type { AuditEntry } from './audit-entry.entity.js'
import { AuditVerifier, type Verification } from './audit-verifier.js'

/** The trail as callers read it. An admin reads that of its tenant; everyone else what they did themselves, and to them there is no more. */
@Injectable()
export class AuditLog {
  constructor(
    private readonly queries: AuditQueries,
    private readonly verifier: AuditVerifier,
  ) {}

  /** Newest first. */
  async page(caller: Principal, filter: AuditFilter, limit: number, offset: number): Promise<AuditPage> {
    const visible = visibleTo(caller, filter)
    return visible ? await this.queries.page(caller.tenantId, visible, limit, offset) : { entries: [], total: 0 }
  }

  /** What one account did; also of an account that was deleted. */
  async activity(
    caller: Principal,
    accountId: string,
    filter: AuditFilter,
    limit: number,
    offset: number,
  ): Promise<AuditPage> {
    const mayAsk = caller.role === 'admin' || caller.accountId === accountId
    if (!mayAsk || !(await this.queries.knowsAccount(caller.tenantId, accountId))) throw new AccountNotFound(accountId)
    return await this.queries.page(caller.tenantId, { ...filter, actorId: accountId }, limit, offset)
  }

  /** In batches, newest first. */
  async *entries(caller: Principal, filter: AuditFilter): AsyncGenerator<AuditEntry[]> {
    const visible = visibleTo(caller, filter)
    if (visible) yield* this.queries.all(caller.tenantId, visible)
  }

  async verify(caller: Principal): Promise<Verification> {
    if (caller.role !== 'admin') throw new Forbidden('Only admins verify the audit trail')
    return await this.verifier.verify(caller.tenantId)
  }
}

/** Undefined where the caller may see nothing of what is asked for. */
function visibleTo({ role, accountId }: Principal, filter: AuditFilter): AuditFilter | undefined {
  if (role === 'admin') return filter
  return filter.actorId === undefined || filter.actorId === accountId ? { ...filter, actorId: accountId } : undefined
}
