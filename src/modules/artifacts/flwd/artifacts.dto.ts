import { posix } from 'node:path'
import { ArrayField, DateField, IdField, IntField, StringField } from '../../../platform/openapi/fields.js'
import { pagedBy } from '../../../platform/openapi/paging.js'
import type { Artifact } from '../artifacts.queries.js'

/** Which artifacts to list. */
export class FlwdArtifactsQuery extends pagedBy({ default: 100, max: 1000 }) {
  @IdField({ description: 'Only what this run has left.', example: 'run_01HX...', optional: true })
  run_id?: string
}

/** A file that a run has left. */
export class FlwdArtifact {
  @IdField({ description: 'The id.', example: 'artifact_01HX...' })
  id: string

  @IdField({ description: 'The run.', example: 'run_01HX...' })
  run_id: string

  @StringField({ description: 'What it is called.', example: 'backup-archive', maxLength: 255 })
  name: string

  @StringField({ description: 'Where the run left it.', example: '/workspace/backup.tar.gz', maxLength: 1100 })
  path: string

  @StringField({ description: 'What it holds.', example: 'application/gzip', maxLength: 500 })
  media_type: string

  @IntField({ description: 'How many bytes it has.', example: 12345678 })
  size_bytes: number

  @DateField({ description: 'When the run left it.', example: '2024-01-15T10:35:00Z' })
  created_at: string
}

/** One page of artifacts, newest first. */
export class FlwdArtifactList {
  @ArrayField({ of: () => FlwdArtifact, description: 'This page.' })
  artifacts: FlwdArtifact[]
}

/** All that is known of an artifact. */
export class FlwdArtifactMetadata extends FlwdArtifact {
  @StringField({
    description: 'The SHA-256 of its content, in hex. It is also the entity tag of the download.',
    example: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    minLength: 64,
    maxLength: 64,
  })
  sha256: string

  @DateField({
    description: 'When it will be removed; null where it is kept as long as its run.',
    example: '2024-01-22T10:35:00Z',
    nullable: true,
  })
  expires_at: string | null
}

export function toArtifact(artifact: Artifact): FlwdArtifact {
  return {
    id: artifact.id,
    run_id: artifact.runId,
    name: artifact.name,
    path: artifact.path,
    media_type: artifact.mediaType,
    size_bytes: artifact.size,
    created_at: artifact.createdAt.toISOString(),
  }
}

export function toMetadata(artifact: Artifact): FlwdArtifactMetadata {
  return {
    ...toArtifact(artifact),
    sha256: artifact.sha256,
    expires_at: artifact.expiresAt?.toISOString() ?? null,
  }
}

/** What browsers keep it under. */
export function toFileName({ path }: Artifact): string {
  return posix.basename(path)
}
