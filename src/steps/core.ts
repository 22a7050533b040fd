import type { StepType } from '../engine/step.js'
import { condition } from './condition.js'
import { cron } from './cron.js'
import { delay } from './delay.js'
import { httpRequest } from './http-request.js'
import { notification } from './notification.js'
import type { FlowSchedules, KeyValueStore, Outbound } from './ports.js'
import { store } from './store.js'
import { subFlow } from './sub-flow.js'
import { transform } from './transform.js'
import { wait } from './wait.js'
import { webhook } from './webhook.js'

export interface CoreStepPorts {
  outbound: Outbound
  keyValues: KeyValueStore
  schedules: FlowSchedules
}

/** The step types that need no service beside the platform's own. */
export function coreSteps({ outbound, keyValues, schedules }: CoreStepPorts): StepType[] {
  return [
    httpRequest(outbound),
    webhook(outbound),
    notification(outbound),
    transform(),
    condition(),
    delay(),
    wait(),
    store(keyValues),
    cron(schedules),
    subFlow(),
  ]
}
