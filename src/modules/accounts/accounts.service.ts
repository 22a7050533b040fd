import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager, IsNull } from 'typeorm'
import { Forbidden } from '../../platform/auth/auth.errors.js'
import type { Principal, Role } from '../../platform/auth/principal.js'
import { CLOCK, type Clock, changeTime } from '../../platform/clock/clock.js'
import { PasswordHasher } from '../../platform/crypto/password-hasher.js'
import { unlessTaken } from '../../platform/database/unless-taken.js'
import { type Expected, requireMatch } from '../../platform/http/headers.js'
import { newId } from '../../platform/ids.js'
import type { JsonObject } from '../../platform/json.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { Account } from './account.entity.js'
import { AccountDependents } from './account-dependents.js'
import { AccountInUse, AccountNotFound, EmailTaken, LastAdmin } from './accounts.errors.js'

export interface NewAccount {
  name: string
  email: string
  password: string
  role: Role
}

export type AccountChange = Partial<NewAccount>

export interface AccountPage {
  accounts: Account[]
  total: number
}

/**
 * The accounts of a tenant. An admin manages all of them; everyone else sees and changes only itself, and to them the others do not
 * exist. At least one admin is left at any time.
 */
@Injectable()
export class AccountsService {
  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly hasher: PasswordHasher,
    private readonly dependents: AccountDependents,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async page(caller: Principal, query: { role?: Role; limit: number; offset: number }): Promise<AccountPage> {
    const [accounts, total] = await this.database.getRepository(Account).findAndCount({
      where: {
        tenantId: caller.tenantId,
        deletedAt: IsNull(),
        ...(query.role && { role: query.role }),
        ...(caller.role !== 'admin' && { id: caller.accountId }),
      },
      order: { id: 'asc' },
      take: query.limit,
      skip: query.offset,
    })
    return { accounts, total }
  }

  async get(caller: Principal, id: string): Promise<Account> {
    return await this.find(this.database.manager, caller, id)
  }

  async create(caller: Principal, input: NewAccount): Promise<Account> {
    if (caller.role !== 'admin') throw new Forbidden('Only admins create accounts')
    const now = this.clock.now()
    const account: Account = {
      id: newId('account'),
      tenantId: caller.tenantId,
      name: input.name,
      email: input.email,
      emailVouched: true,
      role: input.role,
      passwordHash: await this.hasher.hash(input.password),
      createdAt: now,
      updatedAt: now,
      deletedAt: null,
    }
    return await this.database.transaction(async (tx) => {
      await unlessTaken(tx.insert(Account, account), 'account_email', () => new EmailTaken(account.email))
      await this.record(tx, caller, 'account.create', account, { after: audited(account) })
      return account
    })
  }

  /** Members left out stay. A new password ends every session of the account. */
  async update(caller: Principal, id: string, change: AccountChange, expected?: Expected): Promise<Account> {
    const passwordHash = change.password === undefined ? undefined : await this.hasher.hash(change.password)
    return await this.database.transaction(async (tx) => {
      if (change.role !== undefined) await oneAtATime(tx, caller.tenantId)
      const account = await this.find(tx, caller, id, 'lock')
      requireMatch(expected, account.updatedAt)
      const before = audited(account)
      const role = change.role ?? account.role
      if (role !== account.role) await this.admitRole(tx, caller, account)
      account.name = change.name ?? account.name
      if (change.email !== undefined && change.email !== account.email) {
        account.email = change.email
        account.emailVouched = caller.role === 'admin'
      }
      account.role = role
      account.updatedAt = changeTime(this.clock.now(), account.updatedAt)
      if (passwordHash) {
        account.passwordHash = passwordHash
        await endSessions(tx, id)
      }
      await unlessTaken(tx.update(Account, { id }, account), 'account_email', () => new EmailTaken(account.email))
      const after = { ...audited(account), ...(passwordHash && { passwordChanged: true }) }
      await this.record(tx, caller, 'account.update', account, { before, after })
      return account
    })
  }

  /** Ends its sessions and removes its API keys, secrets, entries and groups; refused while it owns what other modules want dealt with first. */
  async remove(caller: Principal, id: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      await oneAtATime(tx, caller.tenantId)
      const account = await this.find(tx, caller, id, 'lock')
      if (account.role === 'admin') await this.keepAnAdmin(tx, account)
      const owned = await this.dependents.of(tx, id)
      if (owned.length > 0) throw new AccountInUse(owned)
      await endSessions(tx, id)
      await this.dependents.remove(tx, id)
      await tx.query('delete from api_key where account_id = $1', [id])
      await tx.query('delete from secret where account_id = $1', [id])
      await tx.query('delete from kv_entry where account_id = $1', [id])
      await tx.query('delete from flow_group where account_id = $1', [id])
      await tx.query(
        'update flow_group set members = array_remove(members, $1::text) where tenant_id = $2 and members @> array[$1::text]',
        [id, account.tenantId],
      )
      await tx.update(Account, { id }, { name: '', email: '', passwordHash: '', deletedAt: this.clock.now() })
      await this.record(tx, caller, 'account.delete', account, { before: audited(account) })
    })
  }

  private async admitRole(tx: EntityManager, caller: Principal, account: Account): Promise<void> {
    if (caller.role !== 'admin') throw new Forbidden('Only admins change roles')
    if (account.role === 'admin') await this.keepAnAdmin(tx, account)
  }

  private async keepAnAdmin(tx: EntityManager, { tenantId, id }: Account): Promise<void> {
    const admins = await tx.findBy(Account, { tenantId, role: 'admin', deletedAt: IsNull() })
    if (!admins.some((admin) => admin.id !== id)) throw new LastAdmin()
  }

  private async find(tx: EntityManager, caller: Principal, id: string, lock?: 'lock'): Promise<Account> {
    const mayExist = caller.role === 'admin' || caller.accountId === id
    const account = mayExist
      ? await tx.findOne(Account, {
          where: { id, tenantId: caller.tenantId, deletedAt: IsNull() },
          ...(lock && { lock: { mode: 'pessimistic_write' as const } }),
        })
      : null
    if (!account) throw new AccountNotFound(id)
    return account
  }

  private record(
    tx: EntityManager,
    actor: Principal,
    action: string,
    account: Account,
    states: { before?: JsonObject; after?: JsonObject },
  ): Promise<void> {
    return this.audit.record(tx, { actor, action, resource: ['account', account.id], ...states })
  }
}

/**
 * Whatever may take an admin away waits here for its turn in the tenant: of two requests that remove the last two admins, the later
 * one sees what the first did. Taken before any account is locked, so that they cannot wait for each other.
 */
async function oneAtATime(tx: EntityManager, tenantId: string): Promise<void> {
  await tx.query('select from tenant where id = $1 for no key update', [tenantId])
}

async function endSessions(tx: EntityManager, accountId: string): Promise<void> {
  await tx.query('delete from access_token where account_id = $1', [accountId])
  await tx.query('delete from session where account_id = $1', [accountId])
}

/** An account as the audit trail keeps it. */
function audited({ name, email, role }: Account) {
  return { name, email, role }
}
