import { byName, joinPaths } from './paths.js'

const BASH = ['/bin/bash']
/** What scripts with these endings are run by where their author does not say. */
const BY_ENDING: Readonly<Record<string, string[]>> = {
  sh: BASH,
  bash: BASH,
  py: ['/usr/bin/env', 'python3'],
  ps1: ['/usr/bin/env', 'pwsh'],
}

/** The scripts of a folder in the order of their names: those that the interpreter is for, where one is named. */
export function scriptsIn(files: Iterable<string>, interpreter: readonly string[] | null): string[] {
  const endings = endingsFor(interpreter)
  return [...files].filter((file) => !/[/]|^\./.test(file) && endings.includes(endingOf(file))).sort(byName)
}

/** What runs these scripts where nobody says. */
export function interpreterOf(scripts: readonly string[]): string[] {
  const endings = new Set(scripts.map(endingOf))
  const [ending = ''] = endings
  return (endings.size === 1 ? BY_ENDING[ending] : undefined) ?? BASH
}

/** The files that a shell sources before each script: those of `config.d/vars` and `config.d/libs`, from the source's root down to the job. */
export function librariesFor(folder: string, files: Iterable<string>): string[] {
  const all = [...files]
  return foldersDownTo(folder).flatMap((above) =>
    ['config.d/vars/', 'config.d/libs/'].flatMap((place) => {
      const prefix = joinPaths(above, place)
      return all
        .filter((file) => file.startsWith(prefix) && /^[^/.][^/]*$/.test(file.slice(prefix.length)))
        .sort(byName)
    }),
  )
}

/** `''`, `a` and `a/b` for `a/b`. */
export function foldersDownTo(folder: string): string[] {
  const parts = folder === '' ? [] : folder.split('/')
  return ['', ...parts.map((_, at) => parts.slice(0, at + 1).join('/'))]
}

function endingsFor(interpreter: readonly string[] | null): string[] {
  if (!interpreter) return Object.keys(BY_ENDING)
  const program = interpreter.join(' ')
  if (/python/.test(program)) return ['py']
  if (/pwsh|powershell/.test(program)) return ['ps1']
  return ['sh', 'bash']
}

function endingOf(file: string): string {
  return /\.([^./]+)$/.exec(file)?.[1] ?? ''
}
