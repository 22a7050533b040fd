import type { Readable } from 'node:stream'
import type { RunIdentity } from '../../engine/step.js'
import type { ProcessLimits, Profile } from '../../platform/processes/profiles.js'

/** Snapshots of the folders of jobs, which stay as they are while a run needs them. */
export interface JobBundles {
  /** The folder that holds the snapshot, absolute, to be read only. Throws `StepError` where it is gone. */
  open(sha256: string): Promise<string>
}

/** Values of arguments that are secrets: kept sealed beside the run, whose input has `[secret]` in their place. */
export interface RunSecrets {
  of(run: RunIdentity): Promise<Readonly<Record<string, string>>>
}

/** A file that a run leaves. */
export interface LeftFile {
  /** Without folders. */
  name: string
  /** As people meet it, such as `/workspace/out/backup.tar.gz`; one run has one artifact of each path. */
  path: string
  mediaType: string
  /** Bytes. */
  size: number
  /** From its beginning, each time. */
  content(): Readable
}

export interface ArtifactSink {
  /** Keeps the file and tells its artifact's id. Doing so again with the same content gives the same; another content is refused. */
  keep(run: RunIdentity, file: LeftFile): Promise<string>
}

/** The runs that one goes on from. */
export interface EarlierRuns {
  /** Those in whose folders the steps worked whose outcomes this run was given, the nearest first; none where it does everything anew. */
  of(run: RunIdentity): Promise<readonly string[]>
}

/** What the programs of a profile may use, where the operator says so. */
export type JobLimits = (profile: Profile) => ProcessLimits

/** What steps of jobs reach beyond themselves. */
export interface JobStepPorts {
  bundles: JobBundles
  secrets: RunSecrets
  artifacts: ArtifactSink
  earlier: EarlierRuns
  limits: JobLimits
}
