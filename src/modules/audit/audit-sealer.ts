import { type BeforeApplicationShutdown, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common'
import { isDatabaseGone } from '../../platform/database/database-is-gone.js'
import { Sql, type SqlSession, type Statement } from '../../platform/database/sql.js'
import { AuditSigner, isSame, type Link, type SealedContent, START } from './audit-signer.js'

/** How often a process looks for what is not sealed yet. With the sealing itself an entry is open for less than a second. */
const LOOK_MS = 400
/** Entries of one transaction, which takes some 40 ms; while there are more the next follows at once. */
const BATCH = 1_000
/** How long a gap is looked into at least, in seconds: a number may be drawn a moment before its transaction is one. */
const YOUNGEST_GAP = 10

/** What came of a round. */
interface Sealing {
  sealed: number
  /** True where there may be more. */
  more: boolean
}

/**
 * Seals entries after they were committed: gives each a position in its tenant's chain and the hash of what it says and of the seal
 * before it. Any process does, one at a time: the row of `audit_sealing` is the turn. Nobody who writes an entry waits for it.
 *
 * Entries commit in another order than that of their numbers. A round takes those behind the last number that it knows, as many as are
 * there, and writes down as gaps the numbers that it passed over. Gaps are looked into again until every transaction that ran when they
 * were found has ended: what has not come by then was rolled back. So each entry is sealed once, in the order in which it was seen.
 *
 * A chain goes on only from an end that carries our MAC. Where somebody changed it, sealing that tenant stops, and verifying says so.
 */
@Injectable()
export class AuditSealer implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger('Audit')
  private timer?: NodeJS.Timeout
  private stopped = false
  private round: Promise<unknown> = Promise.resolve()
  private complaint?: string

  constructor(
    private readonly sql: Sql,
    private readonly signer: AuditSigner,
  ) {}

  onApplicationBootstrap(): void {
    this.later()
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopped = true
    clearTimeout(this.timer)
    await this.round
  }

  /** Seals all that is committed now. Waits for its turn; durable when it resolves. */
  async sealAll(): Promise<number> {
    for (let sealed = 0; ; ) {
      const round = await this.sealBatch('wait')
      sealed += round.sealed
      if (!round.more) return sealed
    }
  }

  /** Seals entries that no round will come to any more: their gap was given up, or taken away. */
  async sealLeft(seqs: readonly string[]): Promise<void> {
    await this.sql.transaction(async (tx) => {
      const state = await this.turn(tx, 'wait')
      if (!state) return
      const entries = await tx.query<SealedContent & object>(LEFT, [seqs])
      await this.keep(tx, state, entries, state.last_seq)
    })
  }

  /** How long the first entry that no round has come to yet has been open, in seconds. */
  async openFor(): Promise<number> {
    const [open] = await this.sql.query<{ seconds: number }>(OPEN_FOR)
    return Math.max(0, open?.seconds ?? 0)
  }

  private later(): void {
    if (this.stopped) return
    this.timer = setTimeout(() => {
      this.round = this.look().finally(() => this.later())
    }, LOOK_MS)
  }

  private async look(): Promise<void> {
    try {
      const [state] = await this.sql.query<{ open: boolean }>(IS_ANY)
      for (let more = state?.open; more && !this.stopped; ) more = (await this.sealBatch('skip')).more
    } catch (error) {
      if (!isDatabaseGone(error)) this.logger.error({ err: error }, 'the audit trail could not be sealed')
    }
  }

  private async sealBatch(turn: 'wait' | 'skip'): Promise<Sealing> {
    return await this.sql.transaction(async (tx) => {
      if (turn === 'skip') await tx.query(NOT_DURABLE)
      const state = await this.turn(tx, turn)
      if (!state) return { sealed: 0, more: false }
      // First which gaps are over, then what is in them: a statement that follows sees all that had committed by then.
      const over = await tx.query<{ first_seq: string }>(GAPS_OVER, [YOUNGEST_GAP])
      const late = await tx.query<SealedContent & object>(IN_GAPS, [BATCH])
      const next = await tx.query<SealedContent & object>(NEXT, [state.last_seq, BATCH])
      const lastSeq = next.at(-1)?.seq ?? state.last_seq
      const gaps = gapsBetween(state.last_seq, next)
      if (gaps.length > 0) await tx.query(KEEP_GAPS, [gaps.map(([first]) => first), gaps.map(([, last]) => last)])
      if (over.length > 0 && late.length < BATCH) await tx.query(FORGET_GAPS, [over.map((gap) => gap.first_seq)])
      const sealed = await this.keep(tx, state, [...late, ...next], lastSeq)
      return { sealed, more: next.length === BATCH || (late.length === BATCH && sealed > 0) }
    })
  }

  /** Undefined where another process seals, or nobody may. */
  private async turn(tx: SqlSession, turn: 'wait' | 'skip'): Promise<State | undefined> {
    const [state] = await tx.query<State & object>(turn === 'wait' ? TURN : TURN_IF_FREE)
    if (!state) return undefined
    if (isSame(state.mac, this.signer.macOfAll(state.last_seq, state.sealed))) return state
    this.complain('audit_sealing was changed: nothing is sealed any more')
    return undefined
  }

  /** Entries that no signer of ours wrote get no seal. Answers how many were sealed. */
  private async keep(
    tx: SqlSession,
    state: State,
    entries: readonly SealedContent[],
    lastSeq: string,
  ): Promise<number> {
    const genuine: SealedContent[] = []
    const forged: string[] = []
    for (const entry of entries) {
      const isFirstSeen = BigInt(entry.seq) > BigInt(state.last_seq)
      const isGenuine = this.signer.isGenuine(entry) || (isFirstSeen && this.signer.isOlderThanSignatures(entry))
      if (isGenuine) genuine.push(entry)
      else forged.push(entry.id)
    }
    if (forged.length > 0) this.logger.error({ entries: forged }, 'the audit trail holds entries that were forged')
    const heads = await this.heads(tx, [...new Set(genuine.map(({ tenantId }) => tenantId))])
    const seals: { entry: SealedContent; link: Link }[] = []
    for (const entry of genuine) {
      const last = heads.get(entry.tenantId)
      if (!last) continue
      const link = this.signer.seal(last, entry)
      heads.set(entry.tenantId, link)
      seals.push({ entry, link })
    }
    if (seals.length > 0) {
      await tx.query(KEEP_SEALS, [
        seals.map(({ entry }) => entry.tenantId),
        seals.map(({ link }) => link.position),
        seals.map(({ entry }) => entry.seq),
        seals.map(({ link }) => link.hash),
      ])
      const ends = [...heads].filter((end): end is [string, Link] => end[1] !== undefined)
      await tx.query(KEEP_HEADS, [
        ends.map(([tenantId]) => tenantId),
        ends.map(([, link]) => link.position),
        ends.map(([, link]) => link.hash),
        ends.map(([tenantId, link]) => this.signer.macOf('head', tenantId, link)),
      ])
    }
    const sealed = String(BigInt(state.sealed) + BigInt(seals.length))
    if (sealed !== state.sealed || lastSeq !== state.last_seq)
      await tx.query(KEEP_STATE, [lastSeq, sealed, this.signer.macOfAll(lastSeq, sealed)])
    return seals.length
  }

  /** The end of each tenant's chain; undefined where it was changed. */
  private async heads(tx: SqlSession, tenantIds: string[]): Promise<Map<string, Link | undefined>> {
    const heads = new Map<string, Link | undefined>(tenantIds.map((tenantId) => [tenantId, START]))
    if (tenantIds.length === 0) return heads
    for (const row of await tx.query<HeadRow & object>(HEADS, [tenantIds])) {
      const link = { position: Number(row.position), hash: row.hash }
      const isOurs = isSame(row.mac, this.signer.macOf('head', row.tenant_id, link))
      heads.set(row.tenant_id, isOurs ? link : undefined)
      if (!isOurs) this.complain(`the end of the chain of tenant ${row.tenant_id} was changed: it is sealed no further`)
    }
    return heads
  }

  /** Once, not with every look. */
  private complain(complaint: string): void {
    if (this.complaint !== complaint) this.logger.error(complaint)
    this.complaint = complaint
  }
}

interface State {
  last_seq: string
  sealed: string
  mac: Buffer | null
}

interface HeadRow {
  tenant_id: string
  position: string
  hash: Buffer
  mac: Buffer
}

/** The numbers that are missing behind `last` among these entries, as first and last of each gap. */
function gapsBetween(last: string, entries: readonly SealedContent[]): [first: string, last: string][] {
  const gaps: [string, string][] = []
  let known = BigInt(last)
  for (const { seq } of entries) {
    const number = BigInt(seq)
    if (number > known + 1n) gaps.push([String(known + 1n), String(number - 1n)])
    known = number
  }
  return gaps
}

/** An entry as it is sealed, of `audit_entry e`. */
export const CONTENT = `e.seq::text, e.id, e.tenant_id as "tenantId", extract(epoch from e.at)::text as at, e.actor_id as "actorId",
    e.actor_email as "actorEmail", e.action, e.resource_type as "resourceType", e.resource_id as "resourceId", e.outcome, e.ip,
    e.request_id as "requestId", e.before::text, e.after::text`

const IS_ANY: Statement = {
  name: 'audit_is_any',
  text: `select exists (select from audit_gap)
      or exists (select from audit_entry where seq > (select last_seq from audit_sealing)) as open`,
}

const OPEN_FOR: Statement = {
  name: 'audit_open_for',
  text: `select extract(epoch from clock_timestamp() - at)::float8 as seconds from audit_entry
    where seq > (select last_seq from audit_sealing) order by seq limit 1`,
}

/** What a crash takes back is sealed again. */
const NOT_DURABLE: Statement = {
  name: 'audit_not_durable',
  text: `select set_config('synchronous_commit', 'off', true)`,
}

const STATE = 'select last_seq::text, sealed::text, mac from audit_sealing for update'
const TURN: Statement = { name: 'audit_turn', text: STATE }
const TURN_IF_FREE: Statement = { name: 'audit_turn_if_free', text: `${STATE} skip locked` }

const GAPS_OVER: Statement = {
  name: 'audit_gaps_over',
  text: `select first_seq::text from audit_gap
    where open_until <= pg_snapshot_xmin(pg_current_snapshot())
      and found_at < clock_timestamp() - make_interval(secs => $1)`,
}

/** Only one plan is possible, gap by gap: another one would read all of the trail each time. */
const IN_GAPS: Statement = {
  name: 'audit_in_gaps',
  text: `select e.* from audit_gap g cross join lateral (
      select ${CONTENT} from audit_entry e
        where e.seq between g.first_seq and g.last_seq
          and not exists (select from audit_seal s where s.seq = e.seq offset 0)
        order by e.seq limit $1) as e
    order by g.first_seq limit $1`,
}

/** A number that the sequence has not come to is nobody's who drew it, and would hide all those before it. */
const NEXT: Statement = {
  name: 'audit_next',
  text: `select ${CONTENT} from audit_entry e
    where e.seq > $1 and e.seq <= (select pg_sequence_last_value(pg_get_serial_sequence('audit_entry', 'seq')::regclass))
    order by e.seq limit $2`,
}

const LEFT: Statement = {
  name: 'audit_left',
  text: `select ${CONTENT} from audit_entry e
    where e.seq = any ($1::bigint[]) and e.seq <= (select last_seq from audit_sealing)
      and not exists (select from audit_seal s where s.seq = e.seq)
    order by e.seq`,
}

const KEEP_GAPS: Statement = {
  name: 'audit_keep_gaps',
  text: `insert into audit_gap (first_seq, last_seq, open_until)
    select first, last, pg_snapshot_xmax(pg_current_snapshot())
    from unnest($1::bigint[], $2::bigint[]) as gap (first, last)`,
}

const FORGET_GAPS: Statement = {
  name: 'audit_forget_gaps',
  text: 'delete from audit_gap where first_seq = any ($1::bigint[])',
}

const HEADS: Statement = {
  name: 'audit_heads',
  text: 'select tenant_id, position::text, hash, mac from audit_head where tenant_id = any ($1)',
}

const KEEP_SEALS: Statement = {
  name: 'audit_keep_seals',
  text: `insert into audit_seal (tenant_id, position, seq, hash)
    select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[])`,
}

const KEEP_HEADS: Statement = {
  name: 'audit_keep_heads',
  text: `insert into audit_head (tenant_id, position, hash, mac)
    select * from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[])
    on conflict (tenant_id) do update set position = excluded.position, hash = excluded.hash, mac = excluded.mac`,
}

const KEEP_STATE: Statement = {
  name: 'audit_keep_state',
  text: 'update audit_sealing set last_seq = $1, sealed = $2, mac = $3',
}
