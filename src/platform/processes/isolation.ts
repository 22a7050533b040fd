import { execFile } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type CgroupBases, findCgroups } from './cgroups.js'
import { permissiveCommand, type SandboxOptions, secureCommand } from './sandbox.js'
import { writeSandboxFiles } from './sandbox-files.js'
import { supervised } from './supervisor.js'
import { SYSTEM_PATH } from './system-path.js'

const run = promisify(execFile)

/** How long a trial may take on a busy host. */
const TRIAL_MS = 20_000

/** What this host can do to keep programs apart: tried out, not guessed. */
export interface Isolation {
  readonly isRoot: boolean
  /** Why `secure` cannot be had, where it cannot. */
  readonly secureFault?: string
  /** Why programs cannot have process ids of their own, where they cannot. */
  readonly namespaceFault?: string
  /** Bubblewrap can forbid the programs to make namespaces. */
  readonly canDisableNamespaces: boolean
  /** The kernel counts processes in each namespace of users, so that a limit is for one sandbox alone. */
  readonly countsInNamespace: boolean
  readonly cgroups?: CgroupBases
  /** What a program starts can be kept below one process. */
  readonly canSupervise: boolean
}

export interface IsolationOptions {
  /** Where programs are looked for. */
  path?: string
  /** False: as on a host where nothing may be done with control groups. */
  useCgroups?: boolean
}

export async function probeIsolation({
  path = SYSTEM_PATH,
  useCgroups = true,
}: IsolationOptions = {}): Promise<Isolation> {
  const isRoot = process.getuid?.() === 0
  const folder = await mkdtemp(join(tmpdir(), 'millrace-probe-'))
  try {
    await chmod(folder, 0o755)
    const files = await writeSandboxFiles(folder, { PATH: '/usr/bin:/bin' })
    const trySecure = async (canDisableNamespaces: boolean) => {
      if (files.calls === undefined) return `what to keep from programs is not known for ${process.arch}`
      const options: SandboxOptions = {
        folders: [{ path: folder, at: '/probe', isWritable: false }],
        files,
        cwd: '/probe',
        tmpBytes: 1024 * 1024,
        canDisableNamespaces,
      }
      return await fault(secureCommand(['/bin/sh', '-c', SECURE_TRIAL], options, isRoot), path)
    }
    const permissive = permissiveCommand(['/bin/sh', '-c', PERMISSIVE_TRIAL], { hidden: [], files, cwd: '/' }, isRoot)
    const supervising = supervised(['/bin/sh', '-c', SUPERVISED_TRIAL]) ?? ['']
    const [strict, namespaceFault, unsupervised] = await Promise.all([
      trySecure(true),
      fault(permissive, path),
      fault(supervising, path),
    ])
    const secureFault = strict === undefined ? undefined : await trySecure(false)
    return {
      isRoot,
      secureFault,
      namespaceFault,
      canDisableNamespaces: strict === undefined,
      countsInNamespace: countsInNamespace(release()),
      canSupervise: unsupervised === undefined,
      cgroups: useCgroups ? findCgroups() : undefined,
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Nobody, no other process, no network but its own loop, nothing of the host's secrets, nothing to be written. */
const SECURE_TRIAL = `
[ "$(id -u)" = 65534 ] || { echo 'the user stays the same' >&2; exit 1; }
[ "$(ls -d /proc/[0-9]* | wc -l)" -lt 8 ] || { echo 'other processes are seen' >&2; exit 1; }
[ "$(grep -c : /proc/net/dev)" -le 1 ] || { echo 'the network is seen' >&2; exit 1; }
! [ -e /etc/shadow ] && ! [ -e /root ] && ! [ -e /home ] || { echo 'files of the host are seen' >&2; exit 1; }
! touch /usr/probe 2>/dev/null && ! touch /probe/probe 2>/dev/null || { echo 'what is to be read can be written' >&2; exit 1; }
grep -q '^Seccomp:.2$' /proc/self/status || { echo 'calls are not filtered' >&2; exit 1; }
grep -q '^CapEff:.0*$' /proc/self/status || { echo 'capabilities are left' >&2; exit 1; }
prlimit --nproc=8 -- true
`

const PERMISSIVE_TRIAL = `
[ "$(ls -d /proc/[0-9]* | wc -l)" -lt 8 ] || { echo 'other processes are seen' >&2; exit 1; }
`

/** Whoever has lost its parent has another, which can be asked for its children. */
const SUPERVISED_TRIAL = `
above=$PPID
for child in $(cat /proc/$above/task/*/children); do [ "$child" = $$ ] && known=1; done
[ "$known" = 1 ] || { echo 'the kernel does not tell the children of a process' >&2; exit 1; }
`

/** Why a trial failed, in the words of what failed. */
async function fault(
  [program = '', ...args]: readonly string[],
  path: string | undefined,
): Promise<string | undefined> {
  try {
    await run(program, args, { timeout: TRIAL_MS, env: { PATH: path } })
    return undefined
  } catch (error) {
    const { code, stderr, message } = error as NodeJS.ErrnoException & { stderr?: string }
    if (code === 'ENOENT') return `${program} is not installed`
    return stderr?.trim().split('\n').at(-1)?.slice(0, 300) || message.split('\n')[0]?.slice(0, 300)
  }
}

/** Since Linux 5.14. */
export function countsInNamespace(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 5 || (major === 5 && minor >= 14)
}
