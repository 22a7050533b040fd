import { Module, type OnModuleInit } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { IsNull } from 'typeorm'
import { AccountDependents } from '../accounts/account-dependents.js'
import { AccountsModule } from '../accounts/accounts.module.js'
import { AuditModule } from '../audit/audit.module.js'
import { StepsModule } from '../steps/steps.module.js'
import { Flow } from './flow.entity.js'
import { FlowRevision } from './flow-revision.entity.js'
import { FlowsService } from './flows.service.js'
import { LayeredFlows } from './layered-flows.service.js'

/** Flows and their revisions. An account that has flows cannot be deleted. */
@Module({
  imports: [TypeOrmModule.forFeature([Flow, FlowRevision]), AccountsModule, AuditModule, StepsModule],
  providers: [FlowsService, LayeredFlows],
  exports: [FlowsService, LayeredFlows],
})
export class FlowsModule implements OnModuleInit {
  constructor(private readonly dependents: AccountDependents) {}

  onModuleInit(): void {
    this.dependents.register('flow', (tx, accountId) => tx.countBy(Flow, { accountId, deletedAt: IsNull() }))
  }
}
