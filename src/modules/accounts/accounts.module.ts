import { Module } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { PasswordHasher } from '../../platform/crypto/password-hasher.js'
import { AuditModule } from '../audit/audit.module.js'
import { Account } from './account.entity.js'
import { AccountDependents } from './account-dependents.js'
import { AccountsService } from './accounts.service.js'

/** Accounts. */
@Module({
  imports: [TypeOrmModule.forFeature([Account]), AuditModule],
  providers: [AccountsService, AccountDependents, PasswordHasher],
  exports: [AccountsService, AccountDependents, PasswordHasher],
})
export class AccountsModule {}
