import { Injectable, type OnModuleInit } from '@nestjs/common'
import type { Request } from 'express'
import type { Profile } from '../../../platform/processes/profiles.js'
import { type OwnLimit, OwnLimits } from '../../../platform/rates/own-limits.js'
import { JobSettings } from '../job-settings.js'

/**
 * The limits of requests that `JOB_SOURCES` sets by security profile. A request to flwd's API counts against the profile that jobs run under
 * unless said; one that starts a run under another, where requests may choose it, against that one.
 */
@Injectable()
export class ProfileRates implements OnModuleInit {
  constructor(
    private readonly limits: OwnLimits,
    private readonly settings: JobSettings,
  ) {}

  onModuleInit(): void {
    this.limits.register('flwd', (request) => this.limitOf(request))
  }

  private limitOf(request: Request): OwnLimit | undefined {
    const profile = this.profileOf(request)
    const limit = this.settings.requestsPerMinute[profile]
    return limit === undefined ? undefined : { name: `profile ${profile}`, limit }
  }

  private profileOf({ method, path, body }: Request): Profile {
    const { profiles } = this.settings
    const startsRun = method === 'POST' && /^\/api\/v1\/runs\/?$/.test(path)
    const chosen = startsRun ? profiles.requests.find((profile) => profile === body?.security_profile) : undefined
    return chosen ?? profiles.default
  }
}
