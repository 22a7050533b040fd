import { randomBytes } from 'node:crypto'
import { Injectable } from '@nestjs/common'
import type { EntityManager } from 'typeorm'
import type { Principal } from '../../platform/auth/principal.js'
import type { Scope } from '../../platform/auth/scopes.js'
import { type Sealed, Sealer } from '../../platform/crypto/sealer.js'
import { BatchedReads } from '../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { CredentialUses, NOTED_ANEW_AFTER_S } from './credential-uses.js'
import { KNOWN_ACCOUNT, type KnownAccount, principalOf } from './known-account.js'
import { placeOfAccessKey } from './sealed-access-keys.js'

/** What a client of S3 is configured with. */
export interface AccessKeyPair {
  accessKey: string
  secretKey: string
}

/** Whoever has the secret, with the role that the account has now. */
export interface Signer {
  secret: string
  principal: Principal
}

const FIND: Statement = {
  name: 'account_by_access_key',
  text: `
    select s.id as key, s.key_id as "keyId", s.sealed, k.id as "apiKeyId", k.scopes, k.expires_at as "expiresAt", ${KNOWN_ACCOUNT},
      (k.last_used_at > now() - make_interval(secs => ${NOTED_ANEW_AFTER_S})) is not true as due
    from access_key s join api_key k on k.id = s.api_key_id join account a on a.id = k.account_id
    where s.id = any ($1::text[]) and 's3' = any (k.scopes) and (k.expires_at > now()) is not false and a.deleted_at is null`,
}

interface Row extends KnownAccount, Sealed, Record<string, unknown> {
  key: string
  apiKeyId: string
  scopes: Scope[]
  expiresAt: Date | null
  due: boolean
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/**
 * Access keys of the S3 protocol, each a part of an API key with the scope `s3`: it counts as long as that does. They are read for each
 * request, like all that callers are known by.
 */
@Injectable()
export class AccessKeys {
  private readonly rows: BatchedReads<Row>

  constructor(
    sql: Sql,
    private readonly sealer: Sealer,
    private readonly uses: CredentialUses,
  ) {
    this.rows = new BatchedReads(sql, FIND)
  }

  /** The secret cannot be had again. */
  async make(tx: EntityManager, apiKeyId: string): Promise<AccessKeyPair> {
    // As long as AWS's own, in letters that clients do not trip over.
    const accessKey = `MR${Array.from(randomBytes(18), (byte) => LETTERS[byte % LETTERS.length]).join('')}`
    const secretKey = randomBytes(30).toString('base64url')
    const { keyId, sealed } = this.sealer.seal(secretKey, placeOfAccessKey(accessKey))
    await tx.query('insert into access_key (id, api_key_id, key_id, sealed) values ($1, $2, $3, $4)', [
      accessKey,
      apiKeyId,
      keyId,
      sealed,
    ])
    return { accessKey, secretKey }
  }

  /** Undefined where it does not count: never made, revoked, expired, its account deleted. */
  async find(accessKey: string): Promise<Signer | undefined> {
    const [row] = await this.rows.rowsOf(accessKey)
    if (!row) return undefined
    if (row.due) this.uses.ofKey(row.apiKeyId)
    const { apiKeyId: tokenId, scopes } = row
    const credential = { kind: 'api-key', tokenId, scopes, expiresAt: row.expiresAt ?? undefined } as const
    return { secret: this.sealer.open(row, placeOfAccessKey(accessKey)), principal: principalOf(row, credential) }
  }
}
