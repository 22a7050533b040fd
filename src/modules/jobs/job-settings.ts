import type { ProcessLimits, Profile } from '../../platform/processes/profiles.js'
import type { ImageReference } from './image-reference.js'

/** Where jobs come from. */
export type JobSource = FolderSource | GitSource | OciSource | RegistrySource

interface Source {
  name: string
  /** The only tenant that sees its jobs; null: every tenant. */
  tenantId: string | null
  /** What the ids of its jobs begin with, in their normal form; empty for nothing. */
  mountPath: string
}

export interface FolderSource extends Source {
  type: 'fs'
  /** Absolute. */
  path: string
  /** Whether changes are looked for while the server runs. */
  watch: boolean
}

export interface GitSource extends Source {
  type: 'git'
  /** With its credentials, if it has any: never to be shown. */
  url: string
  /** A branch, a tag or a commit; null: the repository's own choice. */
  ref: string | null
  pollMs: number
}

export interface OciSource extends Source {
  type: 'oci'
  /** The folder of an image layout, absolute. */
  path: string
  watch: boolean
}

/** An image of a registry. */
export interface RegistrySource extends Source {
  type: 'oci'
  image: ImageReference
  /** Only where the operator says so. */
  plainHttp: boolean
  /** Never to be shown. */
  credentials: { username: string; password: string; variable: string } | null
  pollMs: number
}

/** Which profiles jobs run under. */
export interface ProfilePolicy {
  /** Of jobs that name none. */
  default: Profile
  /** Those that a job may name. */
  jobs: readonly Profile[]
  /** Those that whoever starts a run may choose instead. */
  requests: readonly Profile[]
}

/** What the operator says of jobs: the file that `JOB_SOURCES` names. */
export class JobSettings {
  constructor(
    readonly sources: readonly JobSource[],
    readonly limits: Readonly<Record<Profile, ProcessLimits>>,
    readonly profiles: ProfilePolicy,
    /** Of one principal, of those that run under the profile. Absent: no limit beside that of all requests. */
    readonly requestsPerMinute: Readonly<Partial<Record<Profile, number>>> = {},
  ) {}

  /** Those of the server's environment that hold passwords of sources. */
  get secretVariables(): ReadonlySet<string> {
    return new Set(
      this.sources.flatMap((one) => ('credentials' in one && one.credentials ? [one.credentials.variable] : [])),
    )
  }
}
