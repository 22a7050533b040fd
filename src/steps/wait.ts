import { type StepContext, StepError, type StepResult, type StepType } from '../engine/step.js'
import { formatDuration, parseDuration } from '../platform/duration.js'
import type { JsonObject } from '../platform/json.js'
import { DURATION_PARAMS, durationGiven, ONE_DURATION } from './duration-params.js'

/**
 * Waits for a while, until a time, until a condition holds, or for an event. What does not come in time is a failure with the action
 * `timeout`, so that a flow never goes on as if it had come.
 */
export function wait(): StepType {
  return {
    name: 'wait',
    title: 'Wait',
    category: 'control',
    summary: 'Waits for a duration, a time, a condition or an event by key. The wait survives restarts.',
    stepClass: 'pure',
    codeParams: ['condition'],
    params: PARAMS,
    run: (params, step) => WAITS[kindOf(params)](params, step),
  }
}

type Kind = 'duration' | 'until_time' | 'condition' | 'event'

function kindOf(params: JsonObject): Kind {
  if (params.type !== undefined) return params.type as Kind
  if (params.key !== undefined) return 'event'
  if (params.condition !== undefined) return 'condition'
  return params.time === undefined ? 'duration' : 'until_time'
}

const WAITS: Readonly<Record<Kind, (params: JsonObject, step: StepContext) => Promise<StepResult>>> = {
  async duration(params, step) {
    const ms = durationGiven(params)
    await step.sleepUntil(new Date(step.now().getTime() + ms))
    return { output: { waited_for: String(params.duration ?? formatDuration(ms)), type: 'duration' } }
  },

  async until_time({ time }, step) {
    await step.sleepUntil(new Date(String(time)))
    return { output: { waited_until: String(time), type: 'until_time' } }
  },

  async condition({ condition, max_attempts, interval = '1s', timeout }, step) {
    const most = Number(max_attempts ?? 10)
    const deadline = timeout === undefined ? undefined : after(step.now(), String(timeout))
    const output = (attempts: number, completed: boolean) => ({ attempts, interval, type: 'condition', completed })
    for (let attempts = 1; ; attempts++) {
      if (await step.script(String(condition))) return { output: output(attempts, true) }
      if (attempts === most) throw late(`the condition did not hold in ${most} attempts`, output(attempts, false))
      if (deadline && step.now() >= deadline) {
        throw late(`the condition did not hold within ${timeout}`, output(attempts, false))
      }
      const next = after(step.now(), String(interval))
      await step.sleepUntil(deadline && next > deadline ? deadline : next)
    }
  },

  async event({ key, timeout }, step) {
    const deadline = timeout === undefined ? undefined : after(step.now(), String(timeout))
    const signal = await step.waitForSignal(String(key), deadline)
    const output = { key: String(key), data: signal?.data ?? null, type: 'event', completed: signal !== undefined }
    if (!signal) throw late(`no event '${key}' came within ${timeout}`, output)
    return { output }
  },
}

function after(now: Date, duration: string): Date {
  return new Date(now.getTime() + parseDuration(duration))
}

function late(message: string, output: JsonObject): StepError {
  return new StepError(message, { code: 'wait_timeout', action: 'timeout', output, retryable: false })
}

const needs = (type: Kind, name: string) => ({
  if: { required: ['type'], properties: { type: { const: type } } },
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: { required: [name] },
})

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  anyOf: ['type', 'key', 'duration', 'seconds', 'durationMs', 'time', 'condition'].map((name) => ({
    required: [name],
  })),
  allOf: [
    {
      if: { required: ['type'], properties: { type: { const: 'duration' } } },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: { oneOf: ONE_DURATION },
    },
    needs('until_time', 'time'),
    needs('condition', 'condition'),
    needs('event', 'key'),
  ],
  properties: {
    type: {
      type: 'string',
      enum: ['duration', 'until_time', 'condition', 'event'],
      description: 'What to wait for. Absent: told by whether key, condition, time or duration is given.',
    },
    ...DURATION_PARAMS,
    time: {
      type: 'string',
      format: 'date-time',
      description: 'When to go on (RFC 3339). A time that has passed does not wait.',
      examples: ['2026-12-31T23:59:59Z'],
    },
    condition: {
      type: 'string',
      minLength: 1,
      description: 'JavaScript, evaluated at once and then after every interval until its value is true.',
      examples: ["return shared.state === 'ready'"],
    },
    max_attempts: {
      type: 'integer',
      minimum: 1,
      maximum: 10_000,
      description: 'How often the condition is evaluated at most; 10 unless said otherwise.',
      examples: [10],
    },
    interval: {
      type: 'string',
      format: 'go-duration',
      description: 'The pause between evaluations; 1s unless said otherwise.',
      examples: ['1s', '5m'],
    },
    key: {
      type: 'string',
      minLength: 1,
      maxLength: 255,
      description: 'The key of the event to wait for.',
      examples: ['order-123', 'order-${input.order_id}'],
    },
    timeout: {
      type: 'string',
      format: 'go-duration',
      description:
        'How long to wait for the condition or the event. Then the step fails, along the edge timeout or else error.',
      examples: ['1h'],
    },
  },
}
