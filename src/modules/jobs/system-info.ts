import { Inject, Injectable } from '@nestjs/common'
import type { Principal } from '../../platform/auth/principal.js'
import { ContainerRuntimes } from '../../platform/containers/container-runtimes.js'
import { version } from '../../platform/version.js'
import { shownUrl } from './git-addresses.js'
import { shownImage } from './image-reference.js'
import { JobSettings, type JobSource } from './job-settings.js'

export interface SystemInformation {
  version: string
  /** `path` holds no credentials. */
  sources: { name: string; type: JobSource['type']; path: string }[]
  /** What can be used here beyond what every installation has. */
  extensions: string[]
}

/** What an installation is made of, as far as the caller may know. */
@Injectable()
export class SystemInfo {
  constructor(
    @Inject(JobSettings) private readonly settings: Pick<JobSettings, 'sources'>,
    private readonly containers: ContainerRuntimes,
  ) {}

  async of({ tenantId }: Pick<Principal, 'tenantId'>): Promise<SystemInformation> {
    const sources = this.settings.sources.filter((source) => source.tenantId === null || source.tenantId === tenantId)
    const hasContainers = (await this.containers.find()) !== undefined
    return {
      version,
      sources: sources.map((source) => ({ name: source.name, type: source.type, path: pathOf(source) })),
      extensions: [...(hasContainers ? ['containers'] : []), 'mcp', 's3'],
    }
  }
}

function pathOf(source: JobSource): string {
  if ('image' in source) return shownImage(source.image)
  return source.type === 'git' ? shownUrl(source.url) : source.path
}
