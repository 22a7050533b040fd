import { Module } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { Sealer } from '../../platform/crypto/sealer.js'
import { AccountsModule } from '../accounts/accounts.module.js'
import { AuditModule } from '../audit/audit.module.js'
import { Secret } from './secret.entity.js'
import { SecretsService } from './secrets.service.js'

/** Accounts' secrets, sealed. */
@Module({
  imports: [TypeOrmModule.forFeature([Secret]), AccountsModule, AuditModule],
  providers: [SecretsService, Sealer],
  exports: [SecretsService],
})
export class SecretsModule {}
