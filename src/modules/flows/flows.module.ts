import { Module, type OnModuleInit } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { IsNull } from 'typeorm'
import { AccountDependents } from '../accounts/account-dependents.js'
import { AccountsModule } from '../accounts/accounts.module.js'
import { AuditModule } from '../audit/audit.module.js'
import { GroupDependents } from '../groups/group-dependents.js'
import { GroupsModule } from '../groups/groups.module.js'
import { StepsModule } from '../steps/steps.module.js'
import { Flow } from './flow.entity.js'
import { FlowRevision } from './flow-revision.entity.js'
import { FlowsService } from './flows.service.js'
import { LayeredFlows } from './layered-flows.service.js'

/** Flows and their revisions. An account that has flows cannot be deleted, nor a group that they are in. */
@Module({
  imports: [TypeOrmModule.forFeature([Flow, FlowRevision]), AccountsModule, AuditModule, GroupsModule, StepsModule],
  providers: [FlowsService, LayeredFlows],
  exports: [FlowsService, LayeredFlows],
})
export class FlowsModule implements OnModuleInit {
  constructor(
    private readonly dependents: AccountDependents,
    private readonly groups: GroupDependents,
  ) {}

  onModuleInit(): void {
    this.dependents.register('flow', (tx, accountId) => tx.countBy(Flow, { accountId, deletedAt: IsNull() }))
    this.groups.register('flow', (tx, groupId) => tx.countBy(Flow, { groupId, deletedAt: IsNull() }))
  }
}
