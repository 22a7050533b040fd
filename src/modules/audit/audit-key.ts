import { randomBytes } from 'node:crypto'
import { Logger } from '@nestjs/common'
import type { SealedTable } from '../../platform/crypto/rotate-keys.js'
import type { Sealer } from '../../platform/crypto/sealer.js'
import type { Sql, Statement } from '../../platform/database/sql.js'
import { AuditSigner } from './audit-signer.js'

const ID = 'trail'
const PLACE = ['audit_key', ID] as const

/** Where the key of the trail is, for the rotation of keys: old entries stay as they were signed. */
export const sealedAuditKey: SealedTable = { name: 'audit_key', primaryKey: ['id'], place: () => PLACE }

/**
 * The signer of this deployment. Its key is random, made once and kept under ENCRYPTION_KEY, so that a new ENCRYPTION_KEY does not
 * invalidate what was signed before. With it is kept, where nobody can change it, up to where the trail is older than the key.
 */
export async function auditSigner(sql: Sql, sealer: Sealer): Promise<AuditSigner> {
  const known = await sql.query<KeyRow & object>(FIND, [ID])
  const row = known[0] ?? (await make(sql, sealer))
  const { key, unsignedUpTo } = JSON.parse(sealer.open({ keyId: row.key_id, sealed: row.sealed }, PLACE))
  return new AuditSigner(Buffer.from(key, 'base64'), unsignedUpTo)
}

interface KeyRow {
  key_id: string
  sealed: Buffer
}

/** Processes that start together take turns; the first makes it. */
async function make(sql: Sql, sealer: Sealer): Promise<KeyRow> {
  return await sql.transaction(async (tx) => {
    const [state] = await tx.query<{ mac: Buffer | null; last: string }>(STATE)
    const [made] = await tx.query<KeyRow & object>(FIND, [ID])
    if (made) return made
    const key = randomBytes(32)
    const unsignedUpTo = state?.mac ? 0 : Number(state?.last ?? 0)
    const text = JSON.stringify({ key: key.toString('base64'), unsignedUpTo })
    const { keyId, sealed } = sealer.seal(text, PLACE)
    await tx.query(KEEP, [ID, keyId, sealed])
    // Where something was sealed already, its key was taken away: the chain then stays broken, as it should.
    if (state?.mac) new Logger('Audit').error('the key of the audit trail is gone: what was sealed cannot be verified')
    else await tx.query(BEGIN, [new AuditSigner(key).macOfAll('0', '0')])
    return { key_id: keyId, sealed }
  })
}

const FIND: Statement = { name: 'audit_key_find', text: 'select key_id, sealed from audit_key where id = $1' }

const STATE: Statement = {
  name: 'audit_key_state',
  text: `select mac, (select coalesce(max(seq), 0) from audit_entry)::text as last from audit_sealing for update`,
}

const KEEP: Statement = {
  name: 'audit_key_keep',
  text: 'insert into audit_key (id, key_id, sealed) values ($1, $2, $3)',
}

const BEGIN: Statement = { name: 'audit_key_begin', text: 'update audit_sealing set mac = $1' }
