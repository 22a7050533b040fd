import { lstatSync, readlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import type { SandboxFiles } from './sandbox-files.js'

/** Who the programs of `secure` are: nobody, to the host as well. */
export const NOBODY = 65_534

/** A folder of the host's, and where the programs find it. */
export interface Folder {
  path: string
  at: string
  isWritable: boolean
}

export interface SandboxOptions {
  folders: readonly Folder[]
  files: SandboxFiles
  cwd: string
  /** Of `/tmp`; a quarter of it of `/dev/shm`. */
  tmpBytes: number
  /** Processes and threads inside, those of the sandbox included; undefined where the kernel counts those outside as well. */
  processes?: number
  /** False where bubblewrap is too old to forbid further namespaces. */
  canDisableNamespaces: boolean
}

/** What programs need of `/etc`: names of users, where libraries are, whom to trust, what time it is. */
const OF_ETC = [
  'passwd',
  'group',
  'nsswitch.conf',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'alternatives',
  'localtime',
  'timezone',
  'mime.types',
  'ssl/certs',
  'ssl/openssl.cnf',
  'ca-certificates',
  'pki',
  'crypto-policies',
]

const OF_SYSTEM = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32']

/** Where bubblewrap finds its files open. Shells know descriptors of one digit. */
const ENVIRONMENT = 8
const CALLS = 9

/** Where a server that is root lays out folders for a sandbox that is nobody: the first that does not hide one of them. */
const STAGES = ['/mnt', '/tmp', '/media', '/opt']

/**
 * Lays out folders in a mount namespace of its own, then becomes the program; nothing stays in between, for nobody dies with a parent that is
 * root and has given its capabilities away.
 */
const LAY_OUT = `
stage=$1; shift
mount -t tmpfs -o mode=0755,size=64k tmpfs "$stage" || exit 125
at=0
while [ "$1" != -- ]; do
  mkdir "$stage/$at" && mount --bind -- "$1" "$stage/$at" || exit 125
  at=$((at + 1)); shift
done
shift
exec "$@"
`

/**
 * The command line that runs `argv` in a sandbox of its own: user, processes, network, System V IPC, host name and mounts. It sees the
 * system's programs, the folders given to it and nothing else of the host; all of it can only be read but for `/tmp`, `/dev/shm` and what is
 * said to be writable. It has no capabilities, cannot get any, cannot make namespaces, and
 * of the kernel only those calls are open to it that programs need.
 *
 * A server that is root first becomes nobody. What nobody may not reach, such as folders below a closed `DATA_DIR`, is laid out for it
 * beforehand in a mount namespace of its own.
 */
export function secureCommand(argv: readonly string[], options: SandboxOptions, isRoot: boolean): string[] {
  if (!isRoot) return withFiles(sandbox(argv, options), options.files)
  const paths = options.folders.map(({ path }) => path)
  const stage = STAGES.find((one) => isFolder(one) && !paths.some((path) => isWithin(path, one))) ?? '/tmp'
  const staged = options.folders.map((folder, index) => ({ ...folder, path: `${stage}/${index}` }))
  const command = [
    ...['unshare', '--mount', '--propagation', 'private', '--', '/bin/sh', '-c', LAY_OUT, 'sh', stage, ...paths, '--'],
    ...['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--inh-caps=-all', '--'],
    ...sandbox(argv, { ...options, folders: staged }),
  ]
  return withFiles(command, options.files)
}

/** Opens them while everything can still be reached. */
function withFiles(command: readonly string[], { environment, calls = '/dev/null' }: SandboxFiles): string[] {
  return [
    '/bin/sh',
    '-c',
    `exec ${ENVIRONMENT}<"$0" ${CALLS}<"$1" && shift && exec "$@"`,
    environment,
    calls,
    ...command,
  ]
}

function sandbox(argv: readonly string[], options: SandboxOptions): string[] {
  const { folders, cwd, tmpBytes, processes, canDisableNamespaces } = options
  return [
    ...['bwrap', '--unshare-user', '--unshare-all', '--die-with-parent', '--new-session'],
    ...(canDisableNamespaces ? ['--disable-userns'] : []),
    ...['--uid', `${NOBODY}`, '--gid', `${NOBODY}`, '--cap-drop', 'ALL', '--hostname', 'job', '--clearenv'],
    ...['--args', `${ENVIRONMENT}`, '--seccomp', `${CALLS}`],
    ...system(),
    ...['--proc', '/proc', '--dev', '/dev', '--remount-ro', '/dev'],
    ...['--size', `${Math.ceil(tmpBytes / 4)}`, '--perms', '1777', '--tmpfs', '/dev/shm'],
    ...['--size', `${tmpBytes}`, '--perms', '1777', '--tmpfs', '/tmp'],
    ...folders.flatMap(({ path, at, isWritable }) => [isWritable ? '--bind' : '--ro-bind', path, at]),
    // What holds the mount points is memory, which nobody would count.
    ...['--remount-ro', '/', '--chdir', cwd, '--'],
    ...(processes === undefined ? [] : ['prlimit', `--nproc=${processes}`, '--']),
    ...argv,
  ]
}

/** On most systems all but `/usr` are links into it. */
function system(): string[] {
  return [
    ...['--ro-bind', '/usr', '/usr'],
    ...OF_SYSTEM.flatMap((path) => {
      const stat = lstatSync(path, { throwIfNoEntry: false })
      if (stat?.isSymbolicLink()) return ['--symlink', readlinkSync(path), path]
      return stat?.isDirectory() ? ['--ro-bind', path, path] : []
    }),
    ...['--perms', '0755', '--dir', '/etc', '--perms', '0755', '--dir', '/etc/ssl'],
    ...OF_ETC.flatMap((name) => ['--ro-bind-try', `/etc/${name}`, `/etc/${name}`]),
  ]
}

/** What a server that is root leaves to programs that see the host: what root needs to work with files of others, and no more. */
const KEPT = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'NET_BIND_SERVICE']

export interface NamespaceOptions {
  /** What they shall not find although it is the host's, each with what of it they shall. */
  hidden: readonly { path: string; shown: readonly Folder[] }[]
  files: SandboxFiles
  /** As for the sandbox. A server that is root is in no namespace of users here, and nothing is counted for it. */
  processes?: number
  cwd: string
}

/** The command line that runs `argv` among the host's files and in its network, in a namespace of processes that ends with it. */
export function permissiveCommand(argv: readonly string[], options: NamespaceOptions, isRoot: boolean): string[] {
  const command = [
    ...['bwrap', '--unshare-pid', '--unshare-ipc', '--die-with-parent', '--new-session', '--dev-bind', '/', '/'],
    ...['--proc', '/proc', '--cap-drop', 'ALL'],
    ...(isRoot ? KEPT.flatMap((name) => ['--cap-add', `CAP_${name}`]) : []),
    ...options.hidden.flatMap(({ path, shown }) => [
      ...['--tmpfs', path],
      ...shown.flatMap((folder) => [folder.isWritable ? '--bind' : '--ro-bind', folder.path, folder.at]),
      ...['--remount-ro', path],
    ]),
    ...['--clearenv', '--args', `${ENVIRONMENT}`, '--chdir', options.cwd, '--'],
    ...(options.processes === undefined || isRoot ? [] : ['prlimit', `--nproc=${options.processes}`, '--']),
    ...argv,
  ]
  return withFiles(command, { environment: options.files.environment })
}

function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

/** True where one path is the other, or lies in it. */
function isWithin(path: string, folder: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    if (at === folder) return true
    if (at === dirname(at)) return false
  }
}
