import { EnumField, IntField, StringField } from '../../../platform/openapi/fields.js'
import type { Health } from '../health.service.js'

/** The state of the instance. */
export class FlwdHealth {
  @EnumField(['healthy'], { description: 'An instance that is not healthy answers 503.', example: 'healthy' })
  status: 'healthy'

  @StringField({ description: 'Of the instance.', example: '1.0.0', maxLength: 64 })
  version: string

  @IntField({ description: 'Seconds since the instance started.', example: 3600 })
  uptime_seconds: number
}

export function toHealth(health: Health): FlwdHealth {
  return { status: 'healthy', version: health.version, uptime_seconds: health.uptimeSeconds }
}
