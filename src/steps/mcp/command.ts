import { StepError } from '../../engine/step.js'
import type { JsonObject } from '../../platform/json.js'
import { invalidParams } from '../invalid-params.js'
import type { ProcessOptions } from './process-transport.js'

/** What a process sees of the environment unless the operator says otherwise. */
export const DEFAULT_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
}
/** Variables by which a flow's author could make an allowed program run another one's code. */
const STEERING =
  /^(PATH|IFS|ENV|BASH_ENV|SHELLOPTS|BASHOPTS|PS4|GCONV_PATH|LD_.*|DYLD_.*|NODE_.*|NPM_CONFIG_.*|PYTHON.*|PERL5.*|RUBY.*|JAVA_TOOL_OPTIONS|GIT_.*)$/i

/** The process that a flow asks for, if the operator allows its program: a flow's author is no user of this machine. */
export function allowedCommand(
  params: JsonObject,
  allowed: readonly string[],
  environment: Readonly<Record<string, string>>,
): ProcessOptions {
  const { command } = params
  if (typeof command !== 'string') throw invalidParams("command parameter is required for connectionType 'cmd'")
  if (!allowed.includes(command)) {
    throw new StepError(
      `the command '${command.slice(0, 200)}' is not among the MCP commands that this server allows`,
      {
        code: 'command_refused',
        retryable: false,
      },
    )
  }
  const given = variables(params.env)
  const steering = Object.keys(given).find((name) => STEERING.test(name))
  if (steering) throw invalidParams(`the environment variable ${steering} may not be set by a flow`)
  return { command, args: argumentsOf(params.args), env: { ...environment, ...given } }
}

/** A list; or a text that is a JSON list, or words between blanks. */
function argumentsOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.map(String)
  if (typeof value !== 'string') return []
  if (!value.trim().startsWith('[')) return value.split(/\s+/).filter((word) => word !== '')
  try {
    return (JSON.parse(value) as unknown[]).map(String)
  } catch {
    throw invalidParams('args is neither a list nor words between blanks')
  }
}

/** An object; or a text with one `NAME=value` on each line. */
function variables(value: unknown): Record<string, string> {
  const entries: [string, string][] =
    typeof value === 'string'
      ? value
          .split('\n')
          .flatMap((line) =>
            line.includes('=') ? [[line.slice(0, line.indexOf('=')).trim(), line.slice(line.indexOf('=') + 1)]] : [],
          )
      : Object.entries((value ?? {}) as JsonObject).map(([name, one]) => [name, String(one)])
  const faulty = entries.find(([name, one]) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || one.includes('\0'))
  if (faulty) throw invalidParams(`'${faulty[0].slice(0, 100)}' is no name of an environment variable`)
  return Object.fromEntries(entries)
}
