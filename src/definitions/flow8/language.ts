import type { FlowError, Script } from '../../engine/host.js'
import type { Language, LookUps, Moment, NodeState, Template } from '../../engine/language.js'
import { StepError } from '../../engine/step.js'
import {
  ExpressionError,
  ExpressionFault,
  ExpressionSyntaxError,
  type GoTemplate,
  type Scope,
} from '../../platform/expressions/go-template.js'
import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import { holdsExpression, templateOf } from './expressions.js'

/** Different entries that one text may ask for, and how long it may take in all: it is worked out anew with each. */
const MOST_LOOK_UPS = 50
const LONGEST_MS = 2_000

type Variables = Readonly<Record<string, Json>>

/** flow8's variables, expressions and words. */
export const flow8Language: Language = {
  variables,
  template,
  failure,
  rescueInput: ({ run, runInput, error }) => ({
    args: runInput,
    error: failureInWords(error),
    playId: run.id,
    flowId: run.flowId,
  }),
  words: { started: 'Play started', completed: 'Play completed', failed: 'Play failed' },
}

/** How a layer was settled, in flow8's words. */
const STATES: Readonly<Record<NodeState, string>> = {
  succeeded: 'DONE',
  failed: 'FAIL',
  skipped: 'SKIP',
  filtered: 'FILTERED',
}

/**
 * What expressions see: `$prev` has the output of every earlier layer by its ref, and `args` (also called `input`), what the play was given.
 * Scripts of a layer see the same, and `input` (the output of the layer before), `secrets` and `error`.
 */
function variables(moment: Moment): Record<string, Json> {
  const states = Object.entries(moment.states).map(([name, state]) => [name, STATES[state]])
  const secrets = moment.secrets as JsonObject
  return {
    $prev: { ...moment.results, args: moment.runInput, input: moment.runInput },
    $states: Object.fromEntries(states),
    $flowId: moment.run.flowId,
    $playId: moment.run.id,
    $date: { now: moment.now.toISOString() },
    $secrets: secrets,
    input: moment.input,
    secrets,
    error: moment.error ? failure(moment.error) : null,
  }
}

function failure(error: FlowError): JsonObject {
  return { ...failureInWords(error), out: error.output ?? null }
}

function failureInWords({ message, code, node, nodeType }: FlowError): JsonObject {
  return { message, code, ref: node ?? null, appId: nodeType ?? null }
}

type Render = (values: readonly Json[]) => Json

/** Each text that holds an expression is one script, whatever else it holds: blocks reach over the text between them. */
function template(params: Readonly<JsonObject>): Template {
  const texts: GoTemplate[] = []
  const scripts: Script[] = []
  const textOf = (text: string): Render => {
    if (!holdsExpression(text)) return () => text
    const index = texts.push(templateOf(text)) - 1
    scripts.push({ code: text, form: 'expression' })
    return (values) => values[index] ?? null
  }
  const anyOf = (value: Json): Render => {
    if (typeof value === 'string') return textOf(value)
    if (Array.isArray(value)) {
      const items = value.map(anyOf)
      return (values) => items.map((item) => item(values))
    }
    if (!isJsonObject(value)) return () => value
    const members = Object.entries(value).map(([name, member]) => [textOf(name), anyOf(member)] as const)
    return (values) => Object.fromEntries(members.map(([name, member]) => [nameOf(name(values)), member(values)]))
  }
  const render = inStepErrors(() => anyOf(params as JsonObject))
  return {
    scripts,
    local: (index, scope) => {
      const text = texts[index] as GoTemplate
      return isSettled(text) ? { value: inStepErrors(() => text.evaluate(scopeOf(scope, NO_LOOK_UPS))) } : undefined
    },
    resolve: (index, scope, lookUps) => resolve(texts[index] as GoTemplate, scope, lookUps),
    render: (values) => render(values) as JsonObject,
  }
}

/** Whether it comes out the same however often it is asked, so that nothing needs to be kept of it. */
function isSettled({ calls, mentions, usesClock }: GoTemplate): boolean {
  return calls.length === 0 && !usesClock && mentions.every(({ name }) => name !== '$date')
}

function nameOf(value: Json): string {
  if (value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** A key-value entry that the expression asks for and nobody has fetched yet. */
class Wanted extends Error {
  constructor(
    readonly key: string,
    readonly scope: 'flow' | 'global',
  ) {
    super('an entry is wanted')
  }
}

type Entries = ReadonlyMap<string, Json>

const NO_LOOK_UPS: Entries = new Map()

/**
 * Evaluates until an entry is missing, fetches that, and begins again: an expression decides by itself what it asks for, and with the same
 * values it always takes the same way.
 */
async function resolve(text: GoTemplate, variables: Variables, lookUps: LookUps): Promise<Json> {
  const entries = new Map<string, Json>()
  let spent = 0
  for (;;) {
    const began = performance.now()
    try {
      return inStepErrors(() => text.evaluate(scopeOf(variables, entries)))
    } catch (error) {
      if (!(error instanceof Wanted)) throw error
      spent += performance.now() - began
      if (entries.size >= MOST_LOOK_UPS || spent > LONGEST_MS)
        throw unusable(`one text may ask for at most ${MOST_LOOK_UPS} entries`)
      entries.set(entryName(error.key, error.scope), (await lookUps.keyValue(error.key, error.scope)) ?? null)
    }
  }
}

function scopeOf(variables: Variables, entries: Entries): Scope {
  const entry = (name: string, scope: 'flow' | 'global') => (args: readonly Json[]) => {
    const [key] = args
    if (args.length !== 1 || typeof key !== 'string') throw new ExpressionFault(`${name} takes one key, a text`)
    const value = entries.get(entryName(key, scope))
    if (value === undefined) throw new Wanted(key, scope)
    return value
  }
  const { now } = variables.$date as { now: string }
  return {
    dot: null,
    variables,
    functions: { '$kv.get': entry('$kv.get', 'flow'), '$kv.getGlobal': entry('$kv.getGlobal', 'global') },
    read: (variable, steps) => read(variables, variable, steps),
    now: new Date(now),
  }
}

function entryName(key: string, scope: 'flow' | 'global'): string {
  return `${scope} ${key}`
}

/** `$prev.<ref>.state` is how the layer ended, unless its output has a member of that name; a secret that is not there is a fault. */
function read(variables: Variables, variable: string, steps: readonly (string | number)[]): Json | undefined {
  const [name] = steps
  if (variable === '$secrets' && name !== undefined) {
    if (Object.hasOwn(variables.$secrets as JsonObject, name)) return undefined
    throw new ExpressionFault(`secret '${name}' is not set`)
  }
  if (variable !== '$prev' || name === undefined || steps.length !== 2 || steps[1] !== 'state') return undefined
  const { $prev: outputs, $states: states } = variables as Record<string, JsonObject>
  const output = outputs && Object.hasOwn(outputs, name) ? outputs[name] : undefined
  if (isJsonObject(output) && Object.hasOwn(output, 'state')) return undefined
  return states && Object.hasOwn(states, name) ? states[name] : undefined
}

function inStepErrors<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof ExpressionError || error instanceof ExpressionSyntaxError) throw unusable(error.message)
    throw error
  }
}

function unusable(message: string): StepError {
  return new StepError(message, { code: 'expression', retryable: false })
}
