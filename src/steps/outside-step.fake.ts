import { vi } from 'vitest'
import type { StepContext, StepType } from '../engine/step.js'
import type { Json, JsonObject } from '../platform/json.js'
import { GuardedOutbound } from '../platform/outbound/guarded-outbound.js'

/** The guarded client as it runs, with loopback allowed: where the tests' servers are. */
export const loopbackOutbound = new GuardedOutbound({ allow: '127.0.0.1,::1,localhost' })

/** A step's context without an engine. Logs are kept by the mock. */
export function outsideStep(given: Partial<StepContext> = {}) {
  return {
    run: { id: 'run_1', flowId: 'flow_1', tenantId: 'tenant_1', accountId: 'account_1' },
    node: 'node',
    nodeType: 'type',
    attempt: 1,
    idempotencyKey: 'run_1:node',
    input: null,
    runInput: {},
    signal: new AbortController().signal,
    now: () => new Date(),
    log: vi.fn<StepContext['log']>(),
    script: () => Promise.reject(new Error('no sandbox here')),
    sleepUntil: () => Promise.reject(new Error('no timers here')),
    waitForSignal: () => Promise.reject(new Error('no signals here')),
    ...given,
  } satisfies StepContext
}

/** The output of one run of a step type. */
export async function outputOf(type: StepType, params: JsonObject, given: Partial<StepContext> = {}): Promise<Json> {
  return (await type.run(params, outsideStep(given))).output
}
