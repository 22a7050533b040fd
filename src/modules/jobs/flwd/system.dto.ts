import { ArrayField, EnumField, StringField } from '../../../platform/openapi/fields.js'
import type { SystemInformation } from '../system-info.js'

/** A source of jobs. */
export class FlwdSource {
  @StringField({ description: 'Its name, as jobs tell it.', example: 'local-fs', maxLength: 64 })
  name: string

  @EnumField(['fs', 'git', 'oci'], {
    name: 'FlwdSourceType',
    description: 'A folder, a git repository, or an image layout.',
    example: 'fs',
  })
  type: 'fs' | 'git' | 'oci'

  @StringField({
    description: 'Where it is: a path, or an address without credentials.',
    example: '/opt/flwd/jobs',
    maxLength: 10_000,
  })
  path: string
}

/** What the instance is made of. */
export class FlwdSystemInfo {
  @StringField({ description: 'Of the instance.', example: '1.0.0', maxLength: 64 })
  version: string

  @ArrayField({ of: () => FlwdSource, description: 'Where jobs come from, as far as the caller sees them.' })
  sources: FlwdSource[]

  @ArrayField({
    of: 'string',
    description:
      'What can be used here: `containers` where a container runtime answers, `mcp` for tools of channels, `s3` for the protocol of S3.',
    example: ['tui', 'mcp'],
    maxItems: 100,
  })
  extensions: string[]
}

export function toSystemInfo({ version, sources, extensions }: SystemInformation): FlwdSystemInfo {
  return { version, sources: sources.map(({ name, type, path }) => ({ name, type, path })), extensions }
}
