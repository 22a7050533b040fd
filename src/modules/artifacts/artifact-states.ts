import { Injectable } from '@nestjs/common'
import { Sql, type SqlSession, type Statement } from '../../platform/database/sql.js'
import { type Artifact, type ArtifactRow, COLUMNS, toArtifact, VISIBLE } from './artifacts.queries.js'

/** What is known of an artifact before its content is stored. */
export type ArtifactPlace = Omit<Artifact, 'sha256' | 'expiresAt'>

/** What became of the wish for a place. */
export type Reservation =
  /** It is the caller's: of an upload that was never finished, or its own. */
  | { is: 'reserved'; row: Pick<ArtifactRow, 'id' | 'provider_id' | 'bucket' | 'key'> }
  | { is: 'kept'; row: ArtifactRow }
  | { is: 'being removed' }
  /** There is no room for so many bytes. */
  | { is: 'full' }

/** An upload that was not finished for so long has ended. */
const ABANDONED = `interval '1 day'`
/** A removal that was not finished for so long may be tried again. */
const REMOVAL = `interval '10 minutes'`
/** Rows of one statement. */
const BATCH = 100

const OF_PATH: Statement = {
  name: 'artifact_of_path',
  text: `select ${COLUMNS} from artifact where run_id = $1 and path = $2 for update`,
}

const INSERT: Statement = {
  name: 'artifact_insert',
  text: `insert into artifact (id, run_id, tenant_id, account_id, name, path, media_type, size_bytes, provider_id, bucket, key,
      state, claim, claimed_at, created_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'uploading', $12, $13, $13)
    on conflict (run_id, path) do nothing returning id`,
}

const TAKE_OVER: Statement = {
  name: 'artifact_take_over',
  text: `update artifact set name = $2, media_type = $3, size_bytes = $4, claim = $5, claimed_at = $6 where id = $1`,
}

/** So many bytes more, where they stay within the quota; less is always possible. */
const USE: Statement = {
  name: 'artifact_use',
  text: `insert into artifact_usage as u (tenant_id, bytes) select $1, greatest(0, $2::bigint) where $2::bigint <= $3
    on conflict (tenant_id) do update set bytes = greatest(0, u.bytes + $2)
      where $2 <= 0 or u.bytes + $2 <= $3
    returning bytes`,
}

const HOLD: Statement = {
  name: 'artifact_hold',
  text: `select 1 from artifact where id = $1 and claim = $2 and state = 'uploading' for update`,
}

const FINISH: Statement = {
  name: 'artifact_finish',
  text: `update artifact set state = 'kept', sha256 = $3, expires_at = $4, claim = null, claimed_at = null
    where id = $1 and claim = $2 and state = 'uploading' returning id`,
}

const GIVE_UP: Statement = {
  name: 'artifact_give_up',
  text: `update artifact set state = 'removing', claim = null, claimed_at = $3
    where id = $1 and claim = $2 and state = 'uploading' returning id`,
}

const WITHDRAW: Statement = {
  name: 'artifact_withdraw',
  text: `update artifact set state = 'removing', claim = null, claimed_at = $2
    where account_id = $1 and ${VISIBLE} and id = $3 returning ${COLUMNS}`,
}

const WITHDRAW_ALL: Statement = {
  name: 'artifact_withdraw_all',
  text: `update artifact set state = 'removing', claim = null, claimed_at = $2 where account_id = $1 and state <> 'removing'`,
}

const EXPIRE: Statement = {
  name: 'artifact_expire',
  text: `update artifact set state = 'removing', claim = null, claimed_at = $1 where id in (
      select id from artifact where state = 'kept' and expires_at <= $1 order by expires_at limit ${BATCH} for update skip locked)
    returning id`,
}

const ABANDON: Statement = {
  name: 'artifact_abandon',
  text: `update artifact set state = 'removing', claim = null, claimed_at = $1 where id in (
      select id from artifact where state = 'uploading' and claimed_at <= $1::timestamptz - ${ABANDONED}
        limit ${BATCH} for update skip locked)
    returning id`,
}

const REMOVABLE = `state = 'removing' and (claim is null or claimed_at <= $2::timestamptz - ${REMOVAL})`

const CLAIM: Statement = {
  name: 'artifact_claim',
  text: `update artifact set claim = $1, claimed_at = $2 where id = $3 and ${REMOVABLE} returning ${COLUMNS}`,
}

const CLAIM_NEXT: Statement = {
  name: 'artifact_claim_next',
  text: `update artifact set claim = $1, claimed_at = $2 where id in (
      select id from artifact where id > $3 and ${REMOVABLE} order by id limit ${BATCH} for update skip locked)
    returning ${COLUMNS}`,
}

const REMOVE: Statement = {
  name: 'artifact_remove',
  text: `with gone as (
      delete from artifact where id = $1 and claim = $2 and state = 'removing' returning tenant_id, size_bytes)
    update artifact_usage u set bytes = greatest(0, u.bytes - gone.size_bytes) from gone where u.tenant_id = gone.tenant_id`,
}

/**
 * The states of artifacts. A row is `uploading` from before its object is there, `kept` once that is whole, and `removing` until it is gone:
 * what an interruption leaves between the two stores is found by its row. Whoever uploads or removes has the row's claim, and only its
 * holder finishes. An upload is taken over by whoever comes with the same file again; a removal, and an upload that nobody comes back to,
 * once they have lain for so long that they must have ended.
 */
@Injectable()
export class ArtifactStates {
  constructor(private readonly sql: Sql) {}

  /** Of all that reserve at the same time only so many succeed as there is room for. `quota` is the tenant's, in bytes. */
  async reserve(place: ArtifactPlace, claim: string, quota: number): Promise<Reservation> {
    try {
      return await this.sql.transaction(
        async (tx) => (await this.take(tx, place, claim, quota)) ?? (await this.takeOver(tx, place, claim, quota)),
      )
    } catch (error) {
      if (error instanceof NoRoom) return { is: 'full' }
      throw error
    }
  }

  /** Nobody takes the upload over while `work` is done. False where somebody has. */
  async holding(id: string, claim: string, work: () => Promise<void>): Promise<boolean> {
    return await this.sql.transaction(async (tx) => {
      const isHeld = (await tx.query(HOLD, [id, claim])).length > 0
      if (isHeld) await work()
      return isHeld
    })
  }

  /** False where the claim was lost. */
  async finish(id: string, claim: string, sha256: string, expiresAt: Date | null): Promise<boolean> {
    return (await this.sql.query(FINISH, [id, claim, sha256, expiresAt])).length > 0
  }

  /** Leaves to the removal what was begun. False where the claim was lost. */
  async giveUp(id: string, claim: string, now: Date): Promise<boolean> {
    return (await this.sql.query(GIVE_UP, [id, claim, now])).length > 0
  }

  /** From now on nobody sees it. Undefined where the account sees no such artifact. */
  async withdraw(tx: SqlSession, accountId: string, id: string, now: Date): Promise<Artifact | undefined> {
    const [row] = await tx.query<ArtifactRow>(WITHDRAW, [accountId, now, id])
    return row && toArtifact(row)
  }

  async withdrawAll(tx: SqlSession, accountId: string, now: Date): Promise<void> {
    await tx.query(WITHDRAW_ALL, [accountId, now])
  }

  /** Leaves to the removal what is over, or was never finished. */
  async retire(now: Date, signal: AbortSignal): Promise<void> {
    for (const statement of [EXPIRE, ABANDON])
      while (!signal.aborted) if ((await this.sql.query(statement, [now])).length < BATCH) break
  }

  /** For its removal. Undefined where somebody else is at it. */
  async claim(id: string, claim: string, now: Date): Promise<ArtifactRow | undefined> {
    const [row] = await this.sql.query<ArtifactRow>(CLAIM, [claim, now, id])
    return row
  }

  /** The next ones to be removed, in the order of their ids. */
  async claimNext(after: string, claim: string, now: Date): Promise<ArtifactRow[]> {
    const rows = await this.sql.query<ArtifactRow>(CLAIM_NEXT, [claim, now, after])
    return rows.sort((one, other) => (one.id < other.id ? -1 : 1))
  }

  /** Its object is gone. */
  async remove(id: string, claim: string): Promise<void> {
    await this.sql.query(REMOVE, [id, claim])
  }

  private async take(
    tx: SqlSession,
    place: ArtifactPlace,
    claim: string,
    quota: number,
  ): Promise<Reservation | undefined> {
    const { id, runId, tenantId, accountId, name, path, mediaType, size, providerId, bucket, key, createdAt } = place
    const file = [name, path, mediaType, size, providerId, bucket, key]
    const taken = await tx.query(INSERT, [id, runId, tenantId, accountId, ...file, claim, createdAt])
    if (taken.length === 0) return undefined
    await this.use(tx, tenantId, size, quota)
    return { is: 'reserved', row: { id, provider_id: providerId, bucket, key } }
  }

  private async takeOver(tx: SqlSession, place: ArtifactPlace, claim: string, quota: number): Promise<Reservation> {
    const [row] = await tx.query<ArtifactRow>(OF_PATH, [place.runId, place.path])
    // The next attempt finds the place free.
    if (!row || row.state === 'removing') return { is: 'being removed' }
    if (row.state === 'kept') return { is: 'kept', row }
    await tx.query(TAKE_OVER, [row.id, place.name, place.mediaType, place.size, claim, place.createdAt])
    await this.use(tx, place.tenantId, place.size - row.size_bytes, quota)
    return { is: 'reserved', row }
  }

  private async use(tx: SqlSession, tenantId: string, bytes: number, quota: number): Promise<void> {
    const used = await tx.query(USE, [tenantId, bytes, quota])
    if (used.length === 0 && bytes > 0) throw new NoRoom()
  }
}

class NoRoom extends Error {}
