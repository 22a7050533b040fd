import { Injectable } from '@nestjs/common'
import { Sql, type SqlSession, type Statement } from '../../platform/database/sql.js'
import { AuditSealer, CONTENT } from './audit-sealer.js'
import { AuditSigner, isSame, type Link, type SealedContent, START } from './audit-signer.js'

/** Entries that are read at once. */
const BATCH = 1_000

/** What happened to a trail where it is broken. */
export const BREAKS = ['changed', 'removed', 'inserted', 'end_changed', 'beginning_changed'] as const

export interface Break {
  kind: (typeof BREAKS)[number]
  /** The place in the chain; absent for an entry that has none. */
  position?: number
  /** The entry, where it is still there. */
  entryId?: string
  detail: string
}

export interface Verification {
  /** Entries that were found to be as they were written: all, or those before the first break. */
  checked: number
  firstBreak?: Break
}

/**
 * Goes through a tenant's chain from its beginning, which is the last checkpoint where old entries were removed, to its end. It sees
 * the trail as of one moment, while others write and seal on.
 *
 * Each position must have its seal, each seal its entry, and each hash come out again; the chain must end where the MAC of its head
 * says; all chains together must be as long as the MAC of the sealing says, so that a whole chain cannot go; and every entry without a
 * seal must carry a signature of ours: those have been committed just now.
 */
@Injectable()
export class AuditVerifier {
  private turn: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly sql: Sql,
    private readonly sealer: AuditSealer,
    private readonly signer: AuditSigner,
  ) {}

  /** One at a time in a process: each holds a connection for as long as it reads, 24 s for a million entries. */
  verify(tenantId: string): Promise<Verification> {
    const verification = this.turn.then(() => this.verifyNow(tenantId))
    this.turn = verification.catch(() => {})
    return verification
  }

  private async verifyNow(tenantId: string): Promise<Verification> {
    await this.sealer.sealAll()
    const left = await this.sql.query<SealedContent & object>(UNSEALED, [tenantId])
    if (left.length > 0) await this.sealer.sealLeft(left.map(({ seq }) => seq))
    return await this.sql.transaction(async (tx) => {
      await tx.query(ONE_MOMENT)
      const ends = await this.ends(tx, tenantId)
      const walked = await this.walk(tx, tenantId, ends.beginning)
      const firstBreak =
        ends.beginningBreak ??
        (await this.earlier(tx, tenantId, walked)) ??
        (isSame(walked.end.hash, ends.head.hash) ? undefined : endMissing(walked.end, ends.head)) ??
        ends.endBreak
      return { checked: walked.checked, ...(firstBreak && { firstBreak }) }
    })
  }

  private async ends(tx: SqlSession, tenantId: string): Promise<Ends> {
    const rows = await tx.query<EndRow & object>(ENDS, [tenantId])
    const found = (kind: EndRow['kind']) => rows.find((row) => row.kind === kind)
    const linkOf = (row: EndRow | undefined) => (row ? { position: Number(row.position), hash: row.hash } : START)
    const isOurs = (kind: 'head' | 'checkpoint', row: EndRow | undefined) =>
      !row || isSame(row.mac, this.signer.macOf(kind, tenantId, linkOf(row)))
    const [all] = await tx.query<AllRow & object>(ALL)
    const isWhole = all && isSame(all.mac, this.signer.macOfAll(all.last_seq, all.sealed)) && all.sealed === all.heads
    const head = found('head')
    const checkpoint = found('checkpoint')
    return {
      beginning: linkOf(checkpoint),
      head: linkOf(head),
      ...(!isOurs('checkpoint', checkpoint) && {
        beginningBreak: { kind: 'beginning_changed', detail: 'The checkpoint is not one that this deployment made' },
      }),
      ...((!isOurs('head', head) || !isWhole) && {
        endBreak: { kind: 'end_changed', detail: 'How far the trail goes is not what this deployment wrote down' },
      }),
    }
  }

  /** Follows the chain to its end or its first break. */
  private async walk(tx: SqlSession, tenantId: string, beginning: Link): Promise<Walk> {
    const walk: Walk = { end: beginning, checked: 0 }
    for (;;) {
      const rows = await tx.query<SealRow & object>(SEALS, [tenantId, walk.end.position, BATCH])
      for (const row of rows) {
        const next = walk.end.position + 1
        if (Number(row.position) !== next) {
          walk.break = { kind: 'removed', position: next, detail: `The seal at position ${next} is gone` }
        } else if (row.id === null) {
          const detail = `The entry at position ${next} is gone, of which the seal is there`
          walk.break = { kind: 'removed', position: next, detail }
        } else {
          const link = this.signer.seal(walk.end, row as SealedContent)
          if (isSame(row.hash, link.hash) && row.tenantId === tenantId) {
            walk.end = link
            walk.checked += 1
            continue
          }
          const detail = `The entry at position ${next} is not what was sealed`
          walk.break = { kind: 'changed', position: next, entryId: row.id, detail }
        }
        walk.breakSeq = BigInt(row.sealed_seq)
        return walk
      }
      if (rows.length < BATCH) return walk
    }
  }

  /** The first of what the walk met and an entry that was slipped in. */
  private async earlier(tx: SqlSession, tenantId: string, walk: Walk): Promise<Break | undefined> {
    const unsealed = await tx.query<SealedContent & object>(UNSEALED, [tenantId])
    const inserted = unsealed.find((entry) => !this.signer.isGenuine(entry))
    if (!inserted) return walk.break
    if (walk.break && walk.breakSeq !== undefined && walk.breakSeq < BigInt(inserted.seq)) return walk.break
    return {
      kind: 'inserted',
      entryId: inserted.id,
      detail: `The entry ${inserted.id} was not written by this deployment`,
    }
  }
}

interface Ends {
  beginning: Link
  head: Link
  beginningBreak?: Break
  endBreak?: Break
}

interface Walk {
  /** How far it came. */
  end: Link
  checked: number
  break?: Break
  /** The number of the entry at the break. */
  breakSeq?: bigint
}

interface EndRow {
  kind: 'head' | 'checkpoint'
  position: string
  hash: Buffer
  mac: Buffer
}

interface AllRow {
  last_seq: string
  sealed: string
  mac: Buffer | null
  heads: string
}

type SealRow = { position: string; sealed_seq: string; hash: Buffer } & (SealedContent | { id: null; tenantId: null })

function endMissing(end: Link, head: Link): Break {
  const position = Math.min(end.position, head.position) + 1
  return end.position < head.position
    ? { kind: 'removed', position, detail: `The trail ends at position ${end.position}; ${head.position} were sealed` }
    : { kind: 'end_changed', position, detail: `The trail goes on behind position ${head.position}, where it ended` }
}

const ONE_MOMENT: Statement = {
  name: 'audit_one_moment',
  text: 'set transaction isolation level repeatable read, read only',
}

const ENDS: Statement = {
  name: 'audit_ends',
  text: `select 'head' as kind, position::text, hash, mac from audit_head where tenant_id = $1
    union all select 'checkpoint', position::text, hash, mac from audit_checkpoint where tenant_id = $1`,
}

const ALL: Statement = {
  name: 'audit_all',
  text: `select last_seq::text, sealed::text, mac, (select coalesce(sum(position), 0)::text from audit_head) as heads
    from audit_sealing`,
}

const SEALS: Statement = {
  name: 'audit_seals',
  text: `select s.position::text, s.seq::text as sealed_seq, s.hash, e.*
    from (select * from audit_seal where tenant_id = $1 and position > $2 order by position limit $3) as s
    left join lateral (select ${CONTENT} from audit_entry e where e.seq = s.seq offset 0) as e on true
    order by s.position`,
}

/** Both are read along their numbers. */
const UNSEALED: Statement = {
  name: 'audit_unsealed',
  text: `select ${CONTENT} from audit_entry e left join audit_seal s on s.seq = e.seq and s.tenant_id = e.tenant_id
    where e.tenant_id = $1 and s.seq is null order by e.seq limit 10000`,
}
