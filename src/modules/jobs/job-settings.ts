import type { ProcessLimits, Profile } from '../../platform/processes/profiles.js'

/** Where jobs come from. */
export type JobSource = FolderSource | GitSource | OciSource

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
}
