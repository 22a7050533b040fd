import { hkdfSync } from 'node:crypto'
import { Injectable } from '@nestjs/common'
import type { Principal } from '../../platform/auth/principal.js'
import { Config } from '../../platform/config/config.js'
import { BatchedReads } from '../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import type { Signer } from '../auth/access-keys.js'
import { KNOWN_ACCOUNT, type KnownAccount, principalOf } from '../auth/known-account.js'

/** What the access keys of URLs begin with that this server has signed. What follows is the credential that they were asked for with. */
const URL_KEY = 'url.'

const ACCOUNTS: Statement = {
  name: 'account_of_url',
  text: `select a.id as key, ${KNOWN_ACCOUNT} from account a where a.id = any ($1::text[]) and a.deleted_at is null`,
}

const API_KEYS: Statement = {
  name: 'account_of_url_by_api_key',
  text: `
    select k.id as key, ${KNOWN_ACCOUNT} from api_key k join account a on a.id = k.account_id
    where k.id = any ($1::text[]) and (k.expires_at > now()) is not false and a.deleted_at is null`,
}

interface Row extends KnownAccount, Record<string, unknown> {
  key: string
}

/**
 * Who stands behind the URLs that this server signs for its callers. Each caller has a secret of their own, derived from `JWT_SECRET` and known to
 * nobody. A URL may do what its caller may at the moment that it is followed, and dies with the account; one that was asked for with an
 * API key dies with that.
 */
@Injectable()
export class UrlSigners {
  private readonly accounts: BatchedReads<Row>
  private readonly apiKeys: BatchedReads<Row>

  constructor(
    private readonly config: Config,
    sql: Sql,
  ) {
    this.accounts = new BatchedReads(sql, ACCOUNTS)
    this.apiKeys = new BatchedReads(sql, API_KEYS)
  }

  /** Undefined where it is no key of a URL, or does not count any more. */
  async find(accessKey: string): Promise<Signer | undefined> {
    if (!accessKey.startsWith(URL_KEY)) return undefined
    const id = accessKey.slice(URL_KEY.length)
    const [row] = await (id.startsWith('key_') ? this.apiKeys : this.accounts).rowsOf(id)
    if (!row) return undefined
    const { secret } = pairOf(this.config, id)
    return { secret, principal: principalOf(row, { kind: 'presigned-url', scopes: ['s3'] }) }
  }
}

/** What URLs for this caller are signed with. */
export function urlKeyOf(config: Config, { accountId, credential }: Pick<Principal, 'accountId' | 'credential'>) {
  const { kind, tokenId } = credential
  return pairOf(config, kind === 'api-key' && tokenId !== undefined ? tokenId : accountId)
}

function pairOf({ jwtSecret }: Config, id: string): { accessKey: string; secret: string } {
  const secret = Buffer.from(hkdfSync('sha256', jwtSecret, '', `millrace presigned urls ${id}`, 32)).toString(
    'base64url',
  )
  return { accessKey: URL_KEY + id, secret }
}
