import { Module } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { Sealer } from '../../platform/crypto/sealer.js'
import { AccountsModule } from '../accounts/accounts.module.js'
import { AuditModule } from '../audit/audit.module.js'
import { SealedRunSecrets } from './run-secrets.js'
import { Secret } from './secret.entity.js'
import { SecretsService } from './secrets.service.js'

/** Secrets of accounts and of single runs, sealed. */
@Module({
  imports: [TypeOrmModule.forFeature([Secret]), AccountsModule, AuditModule],
  providers: [SecretsService, SealedRunSecrets, Sealer],
  exports: [SecretsService, SealedRunSecrets],
})
export class SecretsModule {}
