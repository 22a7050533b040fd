import { Module } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { AccountsModule } from '../accounts/accounts.module.js'
import { AuditModule } from '../audit/audit.module.js'
import { FlowGroup } from './flow-group.entity.js'
import { GroupDependents } from './group-dependents.js'
import { GroupsService } from './groups.service.js'

/** Groups of flows. */
@Module({
  imports: [TypeOrmModule.forFeature([FlowGroup]), AccountsModule, AuditModule],
  providers: [GroupsService, GroupDependents],
  exports: [GroupsService, GroupDependents],
})
export class GroupsModule {}
