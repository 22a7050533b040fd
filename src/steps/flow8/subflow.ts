import { type ChildEnd, StepError, type StepType } from '../../engine/step.js'
import type { JsonObject } from '../../platform/json.js'
import { durationParam } from '../conversation.js'

/**
 * Plays another flow of the same account below this one. Its args are kept where they can be read, so secrets in them are masked: the
 * other flow has the account's secrets itself.
 */
export function subflow(): StepType {
  return {
    name: 'subflow',
    title: 'Subflow',
    category: 'control',
    summary: 'Plays another flow and puts out what came of it. The wait survives restarts.',
    stepClass: 'effect',
    params: PARAMS,
    output: OUTPUT,
    async run({ flowId, args = {}, async: goesOn, timeout }, step) {
      const started = await step.startChild({
        flowId: String(flowId),
        input: step.mask(args),
        awaited: goesOn !== true,
      })
      if ('refusal' in started) throw new StepError(started.refusal.message, started.refusal)
      const { id } = started
      if (goesOn === true) return { output: { state: 'RUN', playId: id, out: null } }
      const withinMs = timeout === undefined ? undefined : durationParam('timeout', timeout)
      return { output: outputOf(String(flowId), id, await step.childEnd(id, withinMs)) }
    },
  }
}

/** A play that did not end well fails the layer: whether the flow goes on is its author's to say, by the layer's OnError. */
function outputOf(flowId: string, playId: string, end: ChildEnd): JsonObject {
  switch (end.state) {
    case 'completed':
      return { state: 'DONE', playId, out: end.result }
    case 'failed': {
      const { message, code = null, node: ref = null } = end.error
      throw new StepError(`flow ${flowId} failed: ${message}`, {
        code: 'subflow_failed',
        output: { state: 'FAIL', playId, out: null, error: { message, code, ref } },
      })
    }
    case 'cancelled':
      throw new StepError(`flow ${flowId} was cancelled`, {
        code: 'subflow_cancelled',
        output: { state: 'SKIP', playId, out: null },
        retryable: false,
      })
    case 'overdue':
      throw new StepError(`flow ${flowId} did not end in time`, {
        code: 'subflow_timeout',
        action: 'timeout',
        output: { state: 'SKIP', playId, out: null },
      })
  }
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['flowId'],
  properties: {
    flowId: {
      type: 'string',
      minLength: 1,
      maxLength: 64,
      description: 'The flow to play: one of the same account.',
      examples: ['65abc123', '{{ $prev.args.flowId }}'],
    },
    args: {
      type: 'object',
      description: 'What it is started with. Secrets in it are masked.',
      examples: [{ orderId: '{{ $prev.args.orderId }}' }],
    },
    async: {
      type: 'boolean',
      description: 'Goes on at once, with the state RUN and no out.',
      default: false,
      examples: [true],
    },
    timeout: {
      type: ['number', 'string'],
      format: 'go-duration',
      exclusiveMinimum: 0,
      maximum: 31_536_000,
      description:
        'How long to wait for its end, counted from its start: a number of seconds, or a duration. Then it is cancelled and the layer fails. Absent: for as long as the layer has.',
      examples: [300, '1h'],
    },
  },
}

const OUTPUT = {
  type: 'object',
  additionalProperties: false,
  required: ['state', 'playId', 'out'],
  properties: {
    state: {
      enum: ['DONE', 'RUN'],
      description: 'DONE, or RUN where it was not waited for. Of one that ended otherwise the layer fails.',
    },
    playId: { type: 'string', description: 'The play that was started.' },
    out: { type: ['object', 'null'], description: 'What came of it; null where it was not waited for.' },
  },
}
