import type { SqlSession, Statement } from '../../../platform/database/sql.js'
import { StorageQuotaExceeded } from '../storage.errors.js'

/** What a tenant keeps in the embedded store, or what a change adds to it. */
export interface Usage {
  /** Of objects, and of parts of uploads that are not completed. */
  bytes: number
  /** Objects, uploads that are not completed, and their parts. */
  objects: number
}

/** What a tenant may keep. Infinity is no limit. */
export type StorageQuota = Readonly<Usage>

export const NO_QUOTA: StorageQuota = { bytes: Number.POSITIVE_INFINITY, objects: Number.POSITIVE_INFINITY }

/** As an operator sets it, where 0 is no limit. */
export function quotaOf(config: { bucketQuotaBytes: number; bucketQuotaObjects: number }): StorageQuota {
  return {
    bytes: config.bucketQuotaBytes || NO_QUOTA.bytes,
    objects: config.bucketQuotaObjects || NO_QUOTA.objects,
  }
}

const MOST = '9223372036854775807'

/** Less is always possible, also where there is more than may be. */
const USE: Statement = {
  name: 'bucket_usage_change',
  text: `insert into bucket_usage as u (tenant_id, bytes, objects)
      select $1, greatest(0, $2::bigint), greatest(0, $3::bigint) where $2 <= $4::bigint and $3 <= $5::bigint
    on conflict (tenant_id) do update
      set bytes = greatest(0, u.bytes + $2), objects = greatest(0, u.objects + $3)
      where ($2 <= 0 or u.bytes + $2 <= $4) and ($3 <= 0 or u.objects + $3 <= $5)
    returning tenant_id`,
}

const USED: Statement = {
  name: 'bucket_usage',
  text: `select bytes::float8 as bytes, objects::float8 as objects from bucket_usage where tenant_id = $1`,
}

/** What is there under a key would make room. */
const BEFORE_PUT: Statement = {
  name: 'bucket_usage_before_put',
  text: `select coalesce(sum(bytes), 0)::float8 as bytes, coalesce(sum(objects), 0)::float8 as objects from (
      select bytes, objects from bucket_usage where tenant_id = $1
      union all
      select -size, -1 from bucket_object where tenant_id = $1 and bucket = $2 and key = $3) counted`,
}

const BEFORE_PART: Statement = {
  name: 'bucket_usage_before_part',
  text: `select coalesce(sum(bytes), 0)::float8 as bytes, coalesce(sum(objects), 0)::float8 as objects from (
      select bytes, objects from bucket_usage where tenant_id = $1
      union all
      select -size, -1 from bucket_upload_part where upload_id = $2 and number = $3) counted`,
}

/**
 * What a tenant keeps, against what it may. The row is changed in the transaction that changes what it counts, so it is right whatever ends a
 * process, and of many puts at once only those commit for which there is room.
 */
export class BucketUsage {
  constructor(
    private readonly tenantId: string,
    private readonly quota: StorageQuota,
  ) {}

  async now(sql: SqlSession): Promise<Usage> {
    const [used] = await sql.query<Usage & Record<string, unknown>>(USED, [this.tenantId])
    return used ?? { bytes: 0, objects: 0 }
  }

  /**
   * Counts what a transaction has changed. It comes last in it: others of the tenant wait for the row until the commit. Throws
   * `StorageQuotaExceeded`.
   */
  async count(tx: SqlSession, added: Usage): Promise<void> {
    if (added.bytes === 0 && added.objects === 0) return
    const { bytes, objects } = this.quota
    const limits = [bytes, objects].map((limit) => (Number.isFinite(limit) ? limit : MOST))
    const counted = await tx.query(USE, [this.tenantId, added.bytes, added.objects, ...limits])
    if (counted.length === 0 && (added.bytes > 0 || added.objects > 0)) throw this.exceeded(await this.now(tx), added)
  }

  /** How many bytes a put could bring as things stand. Throws `StorageQuotaExceeded` where it said that it brings more. */
  async roomForPut(sql: SqlSession, { bucket, key }: { bucket: string; key: string }, size = 0): Promise<number> {
    return this.room(await this.read(sql, BEFORE_PUT, [this.tenantId, bucket, key]), size)
  }

  async roomForPart(sql: SqlSession, uploadId: string, number: number, size = 0): Promise<number> {
    return this.room(await this.read(sql, BEFORE_PART, [this.tenantId, uploadId, number]), size)
  }

  /** A content that has no key yet could only ever be as large as all may be. */
  get mostBytes(): number {
    return this.quota.bytes
  }

  /** Why so many bytes are too many. */
  async refused(sql: SqlSession, bytes: number): Promise<StorageQuotaExceeded> {
    return this.exceeded(await this.now(sql), { bytes, objects: 1 })
  }

  private exceeded(used: Usage, added: Usage): StorageQuotaExceeded {
    return new StorageQuotaExceeded(this.quota, used, added)
  }

  private room(used: Usage, size: number): number {
    const { bytes, objects } = this.quota
    const left = bytes - used.bytes
    if (size > left || used.objects >= objects) throw this.exceeded(used, { bytes: size, objects: 1 })
    return Math.max(0, left)
  }

  private async read(sql: SqlSession, statement: Statement, values: unknown[]): Promise<Usage> {
    if (this.quota === NO_QUOTA) return { bytes: 0, objects: 0 }
    const [used] = await sql.query<Usage & Record<string, unknown>>(statement, values)
    return used ?? { bytes: 0, objects: 0 }
  }
}
