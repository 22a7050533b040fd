import { Injectable } from '@nestjs/common'
import { type RunIdentity, StepError } from '../../engine/step.js'
import { DEFAULT_LIMITS, type ProcessLimits, type Profile } from '../../platform/processes/profiles.js'
import type { ArtifactSink, JobBundles, JobLimits, LeftFile, RunSecrets } from '../../steps/process/ports.js'

/** What steps of jobs reach beyond themselves: what the modules behind it have given by the time anything runs. */
@Injectable()
export class JobPorts implements JobBundles, RunSecrets, ArtifactSink {
  bundles?: JobBundles
  secrets?: RunSecrets
  artifacts?: ArtifactSink
  limits?: JobLimits

  async open(sha256: string): Promise<string> {
    if (!this.bundles) throw new StepError('this process has no jobs', { code: 'job_unavailable', retryable: false })
    return await this.bundles.open(sha256)
  }

  async of(run: RunIdentity): Promise<Readonly<Record<string, string>>> {
    return (await this.secrets?.of(run)) ?? {}
  }

  async keep(run: RunIdentity, file: LeftFile): Promise<string> {
    if (!this.artifacts)
      throw new StepError('this process keeps no artifacts', { code: 'artifact_refused', retryable: false })
    return await this.artifacts.keep(run, file)
  }

  readonly limitsOf = (profile: Profile): ProcessLimits => this.limits?.(profile) ?? DEFAULT_LIMITS[profile]
}
