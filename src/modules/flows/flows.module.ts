import { Module } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { AuditModule } from '../audit/audit.module.js'
import { StepsModule } from '../steps/steps.module.js'
import { Flow } from './flow.entity.js'
import { FlowRevision } from './flow-revision.entity.js'
import { FlowsService } from './flows.service.js'

@Module({
  imports: [TypeOrmModule.forFeature([Flow, FlowRevision]), AuditModule, StepsModule],
  providers: [FlowsService],
  exports: [FlowsService],
})
export class FlowsModule {}
