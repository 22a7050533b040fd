import type { StepType } from '../engine/step.js'
import type { Json, JsonObject } from '../platform/json.js'
import { GuardedOutbound } from '../platform/outbound/guarded-outbound.js'
import { FakeStepContext, type FakeStepOptions, runStep } from './step-context.fake.js'

/** The guarded client as it runs, with loopback allowed: where the tests' servers are. */
export const loopbackOutbound = new GuardedOutbound({ allow: '127.0.0.1,::1,localhost' })

/** The output of one run of a step, its parameters checked first. */
export async function outputOf(type: StepType, params: JsonObject, options: FakeStepOptions = {}): Promise<Json> {
  return (await runStep(type, params, new FakeStepContext(options))).output
}
