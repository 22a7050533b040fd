import { Injectable, Logger } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import { type RefusedCall, RefusedCalls } from '../../platform/http/refused-calls.js'
import { AuditTrail } from './audit-trail.js'

/**
 * Keeps calls in the trail that would have changed something and did not: what was refused or failed, and why, never what was sent. It
 * stands there before the caller is answered. Calls of nobody are left to the access log, but for logins, which audit themselves.
 */
@Injectable()
export class AuditRefusals extends RefusedCalls {
  private readonly logger = new Logger('Audit')

  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly trail: AuditTrail,
  ) {
    super()
  }

  async note({ caller, action, resourceId, status, problem }: RefusedCall): Promise<void> {
    try {
      await this.trail.record(this.database.manager, {
        actor: caller,
        action,
        resource: [action.split('.')[0] ?? action, resourceId],
        outcome: 'failure',
        after: { problem, status },
      })
    } catch (error) {
      this.logger.error({ err: error }, `a refused ${action} could not be kept in the audit trail`)
    }
  }
}
