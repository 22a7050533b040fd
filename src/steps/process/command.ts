import { posix } from 'node:path'
import type { Binding } from './binding.js'
import type { JobStepParams } from './job-step.js'
import { assignments, commandLine, quoted, shellOf } from './shell.js'
import type { Places } from './surroundings.js'

/** What a step runs: a program with its arguments, the folder it begins in, and what a shell reads first. */
export interface StepCommand {
  argv: string[]
  cwd: string
  prelude: string
}

/** In the folder of the step. */
export const PRELUDE = 'prelude.sh'

/** A command that is no more than words: what comes behind it are more of them. */
const WORDS_ALONE = /^[\w./ :=@%,+-]+$/

/**
 * Scripts begin in the run's folder, one after the other until one fails; a command begins in the job's, where `./run.sh` is what its author means.
 * All of them have the arguments as flags. A shell has them as variables too, and has read the job's libraries.
 */
export function commandOf(params: JobStepParams, { flags, variables }: Binding, places: Places): StepCommand {
  const { scripts, command, libs, folder } = params
  const inBundle = (path: string) => posix.join(places.bundle, path)
  const isShell = shellOf(params.interpreter) !== undefined
  const interpreter = command === null || isShell ? params.interpreter : ['/bin/sh']
  const shell = shellOf(interpreter)
  const prelude = shell
    ? `${assignments(variables, shell)}${libs.map((lib) => `. ${quoted(inBundle(lib))}\n`).join('')}`
    : ''
  const begin = `. ${quoted(posix.join(places.step, PRELUDE))}`
  if (command !== null) {
    const code = WORDS_ALONE.test(command) ? `${command} "$@"` : command
    return {
      argv: [...interpreter, '-c', `${begin}\n${code}`, params.step, ...flags],
      cwd: inBundle(folder),
      prelude,
    }
  }
  const argvs = scripts.map((script) => {
    const path = inBundle(script)
    return shell ? [...interpreter, '-c', `${begin}\n. "$0"`, path] : [...interpreter, path]
  })
  const [only] = argvs
  if (only && argvs.length === 1) return { argv: [...only, ...flags], cwd: places.run, prelude }
  const code = argvs.map((argv) => `${commandLine(argv)} "$@" || exit\n`).join('')
  return { argv: ['/bin/sh', '-c', code, params.step, ...flags], cwd: places.run, prelude }
}
