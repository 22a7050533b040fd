import type { Isolation } from './isolation.js'
import { MARKER } from './marker.js'
import type { ProcessCommand } from './process-command.js'
import type { ProcessLimits } from './profiles.js'
import { permissiveCommand, secureCommand } from './sandbox.js'
import type { SandboxFiles } from './sandbox-files.js'
import { supervised } from './supervisor.js'
import { SYSTEM_PATH } from './system-path.js'

/** Joins the control groups, is the first to go where the host is short of memory, then becomes the program. */
const LAUNCH = `
while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift
echo 1000 > /proc/self/oom_score_adj
exec "$@"
`

/** How a program is started: what stands before it, and what there is around it. */
export interface Launch {
  argv: string[]
  env: Record<string, string>
  cwd: string
  /** Processes that wait for the program and isolate it. */
  ownProcesses: number
  /** All its processes end with the first. */
  isNamespaced: boolean
}

/** What comes before the program knows nothing of the program's environment: outside the sandbox nobody's `LD_PRELOAD` counts. */
export function launchOf(
  { profile, argv, cwd, folders, limits }: ProcessCommand,
  isolation: Isolation,
  env: Record<string, string>,
  { hidden, files }: { hidden: readonly string[]; files: SandboxFiles },
): Launch {
  const { isRoot } = isolation
  const own = { PATH: SYSTEM_PATH, [MARKER]: env[MARKER] as string }
  // The first process of a namespace is inside as well; and room for one too many, by which it is seen that there are too many.
  const processes = isolation.countsInNamespace ? limits.processes + 2 : undefined
  if (profile === 'secure') {
    const options = {
      folders,
      files,
      cwd,
      tmpBytes: (limits.memoryMb * 1024 * 1024) / 4,
      processes,
      canDisableNamespaces: isolation.canDisableNamespaces,
    }
    return { argv: secureCommand(argv, options, isRoot), env: own, cwd: '/', ownProcesses: 2, isNamespaced: true }
  }
  if (profile === 'permissive' && isolation.namespaceFault === undefined) {
    const shown = folders.map((folder) => ({ ...folder, at: folder.path }))
    const options = { hidden: hidden.map((path) => ({ path, shown })), files, cwd, processes }
    return { argv: permissiveCommand(argv, options, isRoot), env: own, cwd: '/', ownProcesses: 2, isNamespaced: true }
  }
  // A group tells who belongs to it; without one, whoever hides is below the supervisor all the same.
  const kept = isolation.cgroups || !isolation.canSupervise ? undefined : supervised(argv)
  return { argv: kept ?? [...argv], env, cwd, ownProcesses: kept ? 1 : 0, isNamespaced: false }
}

/** A shell that goes through the doors of a control group and then becomes the program, within the limits of each process. */
export function shellOf(argv: readonly string[], limits: ProcessLimits, doors: readonly string[] = []): string[] {
  return ['/bin/sh', '-c', LAUNCH, 'sh', ...doors, '--', ...limited(limits, argv)]
}

/** Of each process. */
function limited({ cpuSeconds, fileMb, openFiles }: ProcessLimits, argv: readonly string[]): string[] {
  return [
    'prlimit',
    // A second more, so that it is seen which limit it was: the watchdog counts all together.
    `--cpu=${cpuSeconds + 1}:${cpuSeconds + 3}`,
    `--fsize=${fileMb * 1024 * 1024}`,
    `--nofile=${openFiles}`,
    '--core=0',
    '--',
    ...argv,
  ]
}
