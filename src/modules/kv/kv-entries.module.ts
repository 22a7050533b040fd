import { Module, type OnModuleInit } from '@nestjs/common'
import { Sealer } from '../../platform/crypto/sealer.js'
import { AuditModule } from '../audit/audit.module.js'
import { GroupDependents } from '../groups/group-dependents.js'
import { GroupsModule } from '../groups/groups.module.js'
import { KvService } from './kv.service.js'

/** Key-value entries as people see and change them. Those of a group go with it. */
@Module({ imports: [AuditModule, GroupsModule], providers: [KvService, Sealer], exports: [KvService] })
export class KvEntriesModule implements OnModuleInit {
  constructor(private readonly groups: GroupDependents) {}

  onModuleInit(): void {
    this.groups.registerRemoval(async (tx, groupId) => {
      await tx.query(`delete from kv_entry where scope = 'flow_group' and scope_key = $1`, [groupId])
    })
  }
}
