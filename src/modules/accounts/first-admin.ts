import { randomBytes } from 'node:crypto'
import { Inject, Injectable, type OnApplicationBootstrap, Optional } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import { DEFAULT_TENANT } from '../../platform/auth/principal.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { Config } from '../../platform/config/config.js'
import { PasswordHasher } from '../../platform/crypto/password-hasher.js'
import { sittingOutages } from '../../platform/database/sitting-outages.js'
import { newId } from '../../platform/ids.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { Account } from './account.entity.js'

/** Where a generated password is shown, once. Not the log: logs are kept, and read by many. */
export const SHOW_PASSWORD = Symbol('shows a generated password')

export type ShowPassword = (text: string) => void

const EMAIL = 'admin@millrace.local'

/**
 * Sees to it that a new installation can be logged into: while the default tenant has no account, one admin is made, as the
 * configuration says or with a generated password. Afterwards the configuration changes nothing.
 */
@Injectable()
export class FirstAdmin implements OnApplicationBootstrap {
  private readonly show: ShowPassword

  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly config: Config,
    private readonly hasher: PasswordHasher,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
    @Optional() @Inject(SHOW_PASSWORD) show?: ShowPassword,
  ) {
    this.show = show ?? ((text) => process.stdout.write(`${text}\n`))
  }

  async onApplicationBootstrap(): Promise<void> {
    if (await sittingOutages(() => this.hasAccounts())) return
    const email = this.config.adminEmail ?? EMAIL
    const password = this.config.adminPassword ?? randomBytes(18).toString('base64url')
    const made = await this.make(email, await this.hasher.hash(password))
    if (made && !this.config.adminPassword) {
      this.show(`The first admin is ${email}, with the password ${password} (it is not shown again)`)
    }
  }

  private async hasAccounts(): Promise<boolean> {
    return await this.database.manager.existsBy(Account, { tenantId: DEFAULT_TENANT })
  }

  /** Processes that start together take turns by the tenant's row. False for all but one of them. */
  private async make(email: string, passwordHash: string): Promise<boolean> {
    return await this.database.transaction(async (tx) => {
      await tx.query('select from tenant where id = $1 for no key update', [DEFAULT_TENANT])
      if (await tx.existsBy(Account, { tenantId: DEFAULT_TENANT })) return false
      const now = this.clock.now()
      const account: Account = {
        id: newId('account'),
        tenantId: DEFAULT_TENANT,
        name: 'Admin',
        email,
        emailVouched: true,
        role: 'admin',
        passwordHash,
        createdAt: now,
        updatedAt: now,
        deletedAt: null,
      }
      await tx.insert(Account, account)
      await this.audit.record(tx, {
        actor: { tenantId: DEFAULT_TENANT },
        action: 'account.create',
        resource: ['account', account.id],
        after: { name: account.name, email, role: account.role },
      })
      return true
    })
  }
}
