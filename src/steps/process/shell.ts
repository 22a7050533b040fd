import { posix } from 'node:path'
import type { Json } from '../../platform/json.js'

/** A word that a shell takes as it stands, whatever is in it. It cannot hold U+0000, as no argument of a program can. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

export function commandLine(argv: readonly string[]): string {
  return argv.map(quoted).join(' ')
}

export type Shell = 'bash' | 'sh'

/** Which shell an interpreter is, behind `env` and with whatever options; undefined where it is none. */
export function shellOf(interpreter: readonly string[]): Shell | undefined {
  const [first = '', ...rest] = interpreter
  const program =
    posix.basename(first) === 'env' ? rest.find((word) => !word.startsWith('-') && !word.includes('=')) : first
  switch (posix.basename(program ?? '')) {
    case 'bash':
      return 'bash'
    case 'sh':
    case 'dash':
    case 'ash':
      return 'sh'
  }
}

/**
 * Names that change how a shell reads what follows, or that it does not let be set: an argument of such a name is no variable. It is an
 * environment variable with `ARG_` before it all the same.
 */
const RESERVED =
  /^(BASH.*|LD_.*|FLW?D_.*|FLOWD_.*|LC_.*|PS[0-4]|_|CDPATH|COMP_.*|DATA_DIR|DIRSTACK|ENV|EUID|EXECIGNORE|FCEDIT|FIGNORE|FUNCNAME|FUNCNEST|GLOBIGNORE|GROUPS|HISTCMD|HOME|IFS|LANG|LINENO|MAILPATH|OLDPWD|OPTIND|PATH|PIPESTATUS|POSIXLY_CORRECT|PPID|PROMPT_COMMAND|PWD|RANDOM|RUN_DIR|SECONDS|SHELL|SHELLOPTS|SHLVL|SRANDOM|EPOCH.*|TMOUT|UID)$/

/** The name of a variable for an argument; undefined where there is none. */
export function variableName(argument: string): string | undefined {
  const name = argument.replaceAll('-', '_')
  return /^[A-Za-z_][A-Za-z0-9_]{0,199}$/.test(name) && !RESERVED.test(name) ? name : undefined
}

/** Statements that set variables to values: in bash lists and objects are arrays, elsewhere their JSON. */
export function assignments(variables: ReadonlyMap<string, Json>, shell: Shell): string {
  return [...variables].map(([name, value]) => `${assignment(name, value, shell)}\n`).join('')
}

function assignment(name: string, value: Json, shell: Shell): string {
  if (shell === 'bash' && Array.isArray(value))
    return `declare -a ${name}=(${value.map((item) => quoted(plain(item))).join(' ')})`
  if (shell === 'bash' && typeof value === 'object' && value !== null) {
    // Of an empty key bash makes an error.
    const entries = Object.entries(value).filter(([key]) => key !== '')
    return `declare -A ${name}=(${entries.map(([key, item]) => `[${quoted(key)}]=${quoted(plain(item))}`).join(' ')})`
  }
  return `${name}=${quoted(plain(value))}`
}

/** A value as one word: texts as they are, nothing for null, all else as JSON. */
export function plain(value: Json): string {
  if (value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}
