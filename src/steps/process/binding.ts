import { StepError } from '../../engine/step.js'
import type { Json, JsonObject } from '../../platform/json.js'
import { plain, variableName } from './shell.js'

/** The kernel takes no word of a program's arguments or environment that is longer than 128 KiB. */
const LONGEST_WORD = 100 * 1024

/** How a program is told the arguments of a run. */
export interface Binding {
  /** `ARG_<NAME>` for what is no list and no object, and `FLWD_ARGS_JSON`. */
  env: Record<string, string>
  /** `--name=value`. */
  flags: string[]
  /** Variables for shells. */
  variables: Map<string, Json>
  /** Names of arguments that are too long for the environment: their values are in `args.json` alone. */
  tooLong: string[]
}

/**
 * Arguments as environment, flags and variables. Those that are secrets are none of these: they are files. Where two names come to the same,
 * such as `a-b` and `a_b`, the first has it.
 */
export function bind(args: JsonObject, secretArgs: readonly string[]): Binding {
  const binding: Binding = { env: {}, flags: [], variables: new Map(), tooLong: [] }
  const secrets = new Set(secretArgs)
  for (const [name, value] of Object.entries(args)) if (!secrets.has(name)) add(binding, name, value)
  const json = JSON.stringify(args)
  if (Buffer.byteLength(json) <= LONGEST_WORD) {
    binding.env.FLWD_ARGS_JSON = json
    binding.env.FLOWD_ARGS_JSON = json
  }
  return binding
}

function add({ env, flags, variables, tooLong }: Binding, name: string, value: Json): void {
  const word = plain(value)
  if (name.includes('\0') || hasNul(value))
    throw new StepError(`the argument '${name.replaceAll('\0', '')}' holds U+0000, which no program can be given`, {
      code: 'invalid_args',
      retryable: false,
    })
  const variable = variableName(name)
  if (variable !== undefined && !variables.has(variable)) variables.set(variable, value)
  if (Buffer.byteLength(word) + Buffer.byteLength(name) > LONGEST_WORD) {
    tooLong.push(name)
    return
  }
  flags.push(`--${name}=${word}`)
  const key = `ARG_${name.toUpperCase().replace(/[^A-Z0-9_]/g, '_')}`
  const isScalar = typeof value !== 'object' || value === null
  if (isScalar && !Object.hasOwn(env, key)) env[key] = word
}

function hasNul(value: Json): boolean {
  if (typeof value === 'string') return value.includes('\0')
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).some(([key, item]) => key.includes('\0') || hasNul(item))
}
