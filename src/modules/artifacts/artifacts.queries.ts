import { Injectable } from '@nestjs/common'
import { Sql, type Statement } from '../../platform/database/sql.js'

/** A file that a run has left. Its content is an object in a bucket of its account, and neither of them ever changes. */
export interface Artifact {
  id: string
  runId: string
  tenantId: string
  accountId: string
  name: string
  /** Such as `/workspace/out/backup.tar.gz`. */
  path: string
  mediaType: string
  size: number
  /** In hex. */
  sha256: string
  providerId: string
  bucket: string
  key: string
  createdAt: Date
  /** Absent where it is kept for ever. */
  expiresAt?: Date
}

/** A row in whatever state. */
export interface ArtifactRow extends Record<string, unknown> {
  id: string
  run_id: string
  tenant_id: string
  account_id: string
  name: string
  path: string
  media_type: string
  size_bytes: number
  sha256: string | null
  provider_id: string
  bucket: string
  key: string
  state: 'uploading' | 'kept' | 'removing'
  created_at: Date
  expires_at: Date | null
}

export const COLUMNS = `id, run_id, tenant_id, account_id, name, path, media_type, size_bytes::float8 as size_bytes, sha256, provider_id,
  bucket, key, state, created_at, expires_at`

/** Of the account `$1`, at `$2`. */
export const VISIBLE = `state = 'kept' and (expires_at is null or expires_at > $2)`

const FIND: Statement = {
  name: 'artifact_find',
  text: `select ${COLUMNS} from artifact where account_id = $1 and ${VISIBLE} and id = $3`,
}

const PAGE: Statement = {
  name: 'artifact_page',
  text: `select ${COLUMNS} from artifact where account_id = $1 and ${VISIBLE} order by id desc limit $3 offset $4`,
}

const PAGE_OF_RUN: Statement = {
  name: 'artifact_page_of_run',
  text: `select ${COLUMNS} from artifact where account_id = $1 and ${VISIBLE} and run_id = $5 order by id desc limit $3 offset $4`,
}

/** Artifacts as callers meet them. An account finds its own only, and none that is over. */
@Injectable()
export class ArtifactsQueries {
  constructor(private readonly sql: Sql) {}

  async find(accountId: string, id: string, now: Date): Promise<Artifact | undefined> {
    const [row] = await this.sql.query<ArtifactRow>(FIND, [accountId, now, id])
    return row && toArtifact(row)
  }

  /** Newest first. */
  async page(
    accountId: string,
    { runId, limit, offset }: { runId?: string; limit: number; offset: number },
    now: Date,
  ): Promise<Artifact[]> {
    const asked = [accountId, now, limit, offset]
    const rows = await (runId === undefined
      ? this.sql.query<ArtifactRow>(PAGE, asked)
      : this.sql.query<ArtifactRow>(PAGE_OF_RUN, [...asked, runId]))
    return rows.map(toArtifact)
  }
}

export function toArtifact(row: ArtifactRow): Artifact {
  return {
    id: row.id,
    runId: row.run_id,
    tenantId: row.tenant_id,
    accountId: row.account_id,
    name: row.name,
    path: row.path,
    mediaType: row.media_type,
    size: row.size_bytes,
    sha256: row.sha256 ?? '',
    providerId: row.provider_id,
    bucket: row.bucket,
    key: row.key,
    createdAt: row.created_at,
    expiresAt: row.expires_at ?? undefined,
  }
}
