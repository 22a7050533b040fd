import type { Json } from '../../../platform/json.js'
import { BooleanField, IntField, JsonField, StringField } from '../../../platform/openapi/fields.js'
import type { Delivery } from '../signals.service.js'

/** What a signal carries. */
export class FlowRunnerSignal {
  @JsonField({
    description: 'Handed to the waiting nodes as `data`.',
    example: { paid: true },
    optional: true,
  })
  data?: Json
}

/** What sending a signal came to. */
export class FlowRunnerSignalDelivery {
  @StringField({ description: 'The key that was sent.', example: 'order-123', maxLength: 255 })
  key: string

  @IntField({ description: 'How many executions were waiting for it.', example: 1 })
  delivered: number

  @BooleanField({
    description: 'True when none was, and the signal is kept for a week for the next one that waits for its key.',
    example: false,
  })
  kept: boolean
}

export function toDelivery(key: string, delivery: Delivery): FlowRunnerSignalDelivery {
  return { key, delivered: delivery.runIds.length, kept: delivery.kept }
}
