import { createHash, randomBytes } from 'node:crypto'
import { Injectable } from '@nestjs/common'
import type { EntityManager } from 'typeorm'
import { Unauthenticated } from '../../platform/auth/auth.errors.js'
import type { Principal } from '../../platform/auth/principal.js'
import { SESSION_LIFETIME_S } from '../../platform/auth/session-cookie.js'
import { BatchedReads } from '../../platform/database/batched-reads.js'
import { Sql, type Statement } from '../../platform/database/sql.js'
import { CredentialUses, NOTED_ANEW_AFTER_S } from './credential-uses.js'
import { KNOWN_ACCOUNT, type KnownAccount, principalOf } from './known-account.js'

/** A session is due for a later end once its last noted use is so long ago that another one would be noted. */
const BY_ID: Statement = {
  name: 'account_by_session',
  text: `
    select s.id as key, ${KNOWN_ACCOUNT}, s.expires_at as "expiresAt",
      s.expires_at <= now() + make_interval(secs => ${SESSION_LIFETIME_S}) as due
    from session s join account a on a.id = s.account_id
    where s.id = any ($1::text[]) and s.expires_at > now() and a.deleted_at is null`,
}

interface Row extends KnownAccount, Record<string, unknown> {
  key: string
  expiresAt: Date
  due: boolean
}

/**
 * Sessions of browsers: 32 random bytes in a cookie, a row under their hash. Who reads the table cannot take part in a session; when the
 * row goes, the session is over on every process.
 */
@Injectable()
export class Sessions {
  private readonly byId: BatchedReads<Row>

  constructor(
    sql: Sql,
    private readonly uses: CredentialUses,
  ) {
    this.byId = new BatchedReads(sql, BY_ID)
  }

  /**
   * A new session, which counts once `tx` has committed. The one that the browser had until now is over, whoever's it was. Answers what
   * the cookie is to hold.
   */
  async start(tx: EntityManager, accountId: string, until?: string): Promise<string> {
    const session = randomBytes(32).toString('base64url')
    if (until) await this.end(tx, idOf(until))
    await tx.query('delete from session where account_id = $1 and expires_at < now()', [accountId])
    await tx.query(
      'insert into session (id, account_id, expires_at) values ($1, $2, now() + make_interval(secs => $3))',
      [idOf(session), accountId, SESSION_LIFETIME_S + NOTED_ANEW_AFTER_S],
    )
    return session
  }

  async end(tx: EntityManager, id: string): Promise<void> {
    await tx.query('delete from session where id = $1', [id])
  }

  /** Whose session it is. Throws `Unauthenticated`. */
  async principalOf(session: string): Promise<Principal> {
    const [row] = await this.byId.rowsOf(idOf(session))
    if (!row) throw new Unauthenticated()
    if (row.due) this.uses.ofSession(row.key)
    return principalOf(row, { kind: 'session', tokenId: row.key, expiresAt: row.expiresAt, renewed: row.due })
  }
}

function idOf(session: string): string {
  return createHash('sha256').update(session).digest('base64url')
}
