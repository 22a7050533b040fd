import { Inject, Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, type EntityManager } from 'typeorm'
import { Forbidden } from '../../platform/auth/auth.errors.js'
import type { Principal } from '../../platform/auth/principal.js'
import type { Scope } from '../../platform/auth/scopes.js'
import { CLOCK, type Clock } from '../../platform/clock/clock.js'
import { ValidationFailed } from '../../platform/http/faults.js'
import { newId } from '../../platform/ids.js'
import { AuditTrail } from '../audit/audit-trail.js'
import { type AccessKeyPair, AccessKeys } from './access-keys.js'
import { ApiKey } from './api-key.entity.js'
import { ApiKeyTokens } from './api-key-tokens.js'
import { ApiKeyNotFound } from './auth.errors.js'

export interface NewApiKey {
  name: string
  scopes: readonly Scope[]
  /** RFC 3339. Without it the key counts until it is revoked. */
  expiresAt?: string
}

export interface IssuedApiKey {
  key: ApiKey
  token: string
  /** Of a key with the scope `s3`. */
  pair?: AccessKeyPair
}

export interface ApiKeyPage {
  keys: ApiKey[]
  total: number
}

/** An account's API keys. Everybody sees and revokes only their own; an admin ends all of somebody's by deleting the account. */
@Injectable()
export class ApiKeysService {
  constructor(
    @InjectDataSource() private readonly database: DataSource,
    private readonly tokens: ApiKeyTokens,
    private readonly accessKeys: AccessKeys,
    private readonly audit: AuditTrail,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * The key with its token and its access key, which cannot be had again. A key makes no others: what was made with a stolen one would
   * outlive it.
   */
  async create(caller: Principal, input: NewApiKey): Promise<IssuedApiKey> {
    if (caller.credential.kind === 'api-key') throw new Forbidden('An API key cannot make others')
    const createdAt = this.clock.now()
    const key = {
      id: newId('key'),
      tenantId: caller.tenantId,
      accountId: caller.accountId,
      name: input.name,
      scopes: [...new Set(input.scopes)],
      createdAt,
      expiresAt: input.expiresAt === undefined ? null : laterThan(createdAt, input.expiresAt),
      lastUsedAt: null,
    }
    const token = this.tokens.make(key)
    return await this.database.transaction(async (tx) => {
      const row: ApiKey = { ...key, tokenHash: this.tokens.hash(token) }
      await tx.insert(ApiKey, row)
      const pair = row.scopes.includes('s3') ? await this.accessKeys.make(tx, row.id) : undefined
      const { name, scopes } = row
      const after = { name, scopes, expiresAt: row.expiresAt?.toISOString() ?? null }
      await this.audit.record(tx, { actor: caller, action: 'apiKey.create', resource: ['apiKey', row.id], after })
      return { key: row, token, ...(pair && { pair }) }
    })
  }

  /** Oldest first. */
  async page({ accountId }: Principal, query: { limit: number; offset: number }): Promise<ApiKeyPage> {
    const [keys, total] = await this.database.getRepository(ApiKey).findAndCount({
      where: { accountId },
      order: { id: 'asc' },
      take: query.limit,
      skip: query.offset,
    })
    return { keys, total }
  }

  async get(caller: Principal, id: string): Promise<ApiKey> {
    return await find(this.database.manager, caller, id)
  }

  /** It is dead from now on, everywhere. */
  async revoke(caller: Principal, id: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      const { name } = await find(tx, caller, id, 'lock')
      await tx.delete(ApiKey, { id })
      const before = { name }
      await this.audit.record(tx, { actor: caller, action: 'apiKey.delete', resource: ['apiKey', id], before })
    })
  }
}

async function find(tx: EntityManager, { accountId }: Principal, id: string, lock?: 'lock'): Promise<ApiKey> {
  const key = await tx.findOne(ApiKey, {
    where: { id, accountId },
    ...(lock && { lock: { mode: 'pessimistic_write' as const } }),
  })
  if (!key) throw new ApiKeyNotFound(id)
  return key
}

function laterThan(now: Date, text: string): Date {
  const time = new Date(text)
  if (time > now) return time
  throw new ValidationFailed([{ pointer: '#/expiresAt', detail: 'Expires at must be in the future', code: 'past' }])
}
