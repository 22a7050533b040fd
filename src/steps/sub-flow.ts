import { type ChildEnd, StepError, type StepType } from '../engine/step.js'
import type { Json } from '../platform/json.js'
import { durationParam } from './conversation.js'

/**
 * Runs another flow of the same account below this one. Its input is kept where it can be read, so secrets in it are masked: the other
 * flow has the account's secrets itself.
 */
export function subFlow(): StepType {
  return {
    name: 'flow.run',
    title: 'Run a flow',
    category: 'control',
    summary: 'Runs another flow and hands on its result. The wait survives restarts.',
    stepClass: 'effect',
    params: PARAMS,
    async run({ flow_id, version, input, wait = true, timeout }, step) {
      const flowId = String(flow_id)
      const started = await step.startChild({
        flowId,
        version: version === undefined ? undefined : String(version),
        input: step.mask(input ?? step.input),
        awaited: wait === true,
      })
      if ('refusal' in started) throw new StepError(started.refusal.message, started.refusal)
      const { id } = started
      if (wait !== true) return { output: { id, flow_id: flowId } }
      const withinMs = timeout === undefined ? undefined : durationParam('timeout', timeout)
      return { output: resultOf(flowId, id, await step.childEnd(id, withinMs)) }
    },
  }
}

function resultOf(flowId: string, id: string, end: ChildEnd): Json {
  switch (end.state) {
    case 'completed':
      return end.result
    case 'failed': {
      const { message, code = null, node = null } = end.error
      throw new StepError(`flow ${flowId} failed: ${message}`, {
        code: 'subflow_failed',
        output: { id, flow_id: flowId, error: { message, code, node } },
      })
    }
    case 'cancelled':
      throw new StepError(`flow ${flowId} was cancelled`, {
        code: 'subflow_cancelled',
        output: { id, flow_id: flowId },
        retryable: false,
      })
    case 'overdue':
      throw new StepError(`flow ${flowId} did not end in time`, {
        code: 'subflow_timeout',
        action: 'timeout',
        output: { id, flow_id: flowId },
      })
  }
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['flow_id'],
  properties: {
    flow_id: {
      type: 'string',
      minLength: 1,
      maxLength: 64,
      description: 'The flow to run: one of the same account.',
      examples: ['flow-123', '${input.flow_id}'],
    },
    version: {
      type: 'string',
      minLength: 1,
      maxLength: 255,
      description: 'The version to run; the current one unless said otherwise.',
      examples: ['latest', 'v2'],
    },
    input: {
      type: ['object', 'array', 'string', 'number', 'boolean', 'null'],
      description: "What it is given; this node's own input unless said otherwise, in a batch the item.",
      examples: [{ order: '${input.order}' }],
    },
    wait: {
      type: 'boolean',
      description: 'False: starts it and goes on at once with its id. True unless said otherwise.',
      examples: [false],
    },
    timeout: {
      type: ['string', 'number'],
      format: 'go-duration',
      exclusiveMinimum: 0,
      maximum: 31_536_000,
      description:
        'How long to wait for its end, counted from its start: a duration, or a number of seconds. Then it is cancelled and the step fails, along the edge timeout or else error. Absent: for ever.',
      examples: ['1h', 90],
    },
  },
}
