import { createHash } from 'node:crypto'
import type { StepContext } from '../../engine/step.js'
import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import { readAnswer } from '../http-answer.js'
import { headersOf } from '../http-exchange.js'
import { invalidParams } from '../invalid-params.js'
import type { Outbound } from '../ports.js'
import { toolDefinition } from './chat.js'
import { fieldsOf, fillTemplate, plainText } from './template.js'

const MAX_RESPONSE_BYTES = 1024 * 1024
const TIMEOUT_MS = 30_000
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH'])

export interface AgentTool {
  /** What the model is told, in OpenAI's form. */
  definition: JsonObject
  call(args: Json, signal: AbortSignal): Promise<{ result: Json; error: boolean }>
}

/** The tools of an agent by name: those of its parameters, and `get_current_time` unless they have one of that name. */
export function agentTools(outbound: Outbound, params: JsonObject, step: StepContext): Map<string, AgentTool> {
  const handlers = isJsonObject(params.tool_handlers) ? params.tool_handlers : {}
  const tools = new Map<string, AgentTool>()
  const keyOf = idempotencyKeys(step)
  for (const given of (Array.isArray(params.tools) ? params.tools : []) as JsonObject[]) {
    const definition = toolDefinition(given)
    const { name } = definition.function as { name: string }
    if (tools.has(name)) {
      throw invalidParams(`there are two tools named '${name}'`)
    }
    const code = Object.hasOwn(handlers, name) ? handlers[name] : undefined
    const { url } = given
    if (typeof code === 'string') tools.set(name, { definition, call: (args) => run(step, code, args) })
    else if (typeof url === 'string') {
      tools.set(name, {
        definition,
        call: (args, signal) => request(outbound, { ...given, url }, args, { keyOf, signal, step }),
      })
    } else
      tools.set(name, { definition, call: () => Promise.reject(new Error(`no handler defined for tool: ${name}`)) })
  }
  if (!tools.has(CURRENT_TIME)) tools.set(CURRENT_TIME, currentTime(step))
  return tools
}

async function run(step: StepContext, code: string, args: Json) {
  return { result: await step.script(code, { args }), error: false }
}

/**
 * Makes the request of an HTTP tool. The model chooses arguments, never the target: what it fills into the address is encoded, so that it
 * cannot change the host or leave its place in the path.
 */
async function request(
  outbound: Outbound,
  tool: JsonObject & { url: string },
  args: Json,
  { keyOf, signal, step }: { keyOf: (call: Json) => string; signal: AbortSignal; step: StepContext },
) {
  const given = isJsonObject(args) ? args : {}
  const method = String(tool.method ?? 'GET').toUpperCase()
  const url = new URL(fillTemplate(tool.url, given, (value) => segment(plainText(value))))
  const used = fieldsOf(tool.url)
  const rest = Object.entries(given).filter(([member]) => !used.has(member))
  const headers = headersOf(tool.headers)
  let body: string | undefined
  if (WITH_BODY.has(method)) {
    if (!headers.has('content-type')) headers.set('content-type', 'application/json')
    headers.set('idempotency-key', keyOf([url.href, args]))
    body = JSON.stringify(Object.fromEntries(rest))
  } else for (const [member, value] of rest) url.searchParams.append(member, plainText(value))
  const response = await outbound.fetch(url, {
    method,
    headers,
    body,
    signal,
    beforeSend: () => step.checkClaim(),
    timeoutMs: TIMEOUT_MS,
    maxResponseBytes: MAX_RESPONSE_BYTES,
  })
  const answer = await readAnswer(response)
  return { result: { status_code: answer.status, body: answer.body }, error: !response.ok }
}

/** Encoded, and no step up: URLs read `.` and `..` as such even when they are encoded. */
function segment(text: string): string {
  if (/^\.{1,2}$/.test(text)) throw new Error(`'${text}' cannot be part of an address`)
  return encodeURIComponent(text)
}

/** The same call gets the same key on every attempt at the step; made twice within one, it gets two. */
function idempotencyKeys(step: StepContext): (call: Json) => string {
  const made = new Map<string, number>()
  return (call) => {
    const digest = createHash('sha256').update(JSON.stringify(call)).digest('hex').slice(0, 16)
    const times = (made.get(digest) ?? 0) + 1
    made.set(digest, times)
    return `${step.idempotencyKey}:${digest}:${times}`
  }
}

const CURRENT_TIME = 'get_current_time'

function currentTime(step: StepContext): AgentTool {
  const named = (date: Date, part: 'month' | 'weekday') =>
    new Intl.DateTimeFormat('en', { [part]: 'long', timeZone: 'UTC' }).format(date)
  return {
    definition: toolDefinition({ name: CURRENT_TIME, description: 'Tells the current date and time in UTC.' }),
    async call() {
      const now = step.now()
      return {
        result: {
          time: now.toISOString(),
          unix: Math.floor(now.getTime() / 1000),
          year: now.getUTCFullYear(),
          month: named(now, 'month'),
          day: now.getUTCDate(),
          hour: now.getUTCHours(),
          minute: now.getUTCMinutes(),
          second: now.getUTCSeconds(),
          weekday: named(now, 'weekday'),
          timezone: 'UTC',
        },
        error: false,
      }
    },
  }
}
