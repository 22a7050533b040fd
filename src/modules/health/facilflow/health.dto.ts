import { EnumField, IntField, StringField } from '../../../platform/openapi/fields.js'
import type { Health } from '../health.service.js'

/** The state of the service. */
export class FacilFlowHealth {
  @EnumField(['healthy'], { description: 'A service that is not healthy answers 503.', example: 'healthy' })
  status: 'healthy'

  @StringField({ description: 'Of the service.', example: '0.3.0', maxLength: 64 })
  version: string

  @IntField({ description: 'Seconds since the service started.', example: 3600 })
  uptime: number
}

export function toHealth(health: Health): FacilFlowHealth {
  return { status: 'healthy', version: health.version, uptime: health.uptimeSeconds }
}
