import { type SpawnOptions, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { EmbeddedPostgresError } from './embedded-error.js'
import type { PostgresBinaries } from './postgres-binaries.js'

/** Whom the database server runs as. PostgreSQL refuses to run as root. */
export interface ServerUser {
  /** Who owns its files. */
  uid: number
  gid: number
  /** What is put in front of a command. */
  prefix: string[]
  options: Pick<SpawnOptions, 'uid' | 'gid'>
}

/**
 * An ordinary user runs the server itself. Root runs it as the user who owns the cluster, or as `postgres` or `nobody`, whoever can
 * reach the program and the folder; where none can (a home of mode 700), as itself in a user namespace, where it is an
 * unprivileged user with root's files.
 */
export function chooseServerUser(binaries: PostgresBinaries): ServerUser {
  const uid = process.getuid?.() ?? 0
  const gid = process.getgid?.() ?? 0
  const owner = clusterOwner(binaries.folder)
  if (uid !== 0) {
    if (owner && owner.uid !== uid) {
      throw new EmbeddedPostgresError(
        `The database in ${binaries.folder} belongs to another user (uid ${owner.uid}). Start as that user, or choose another DATA_DIR.`,
      )
    }
    return { uid, gid, prefix: [], options: {} }
  }
  const namespaced: ServerUser = {
    uid,
    gid,
    prefix: ['unshare', '--user', '--map-user=65534', '--map-group=65534', '--'],
    options: {},
  }
  const users = [...(owner && owner.uid !== 0 ? [owner] : []), ...account('postgres'), ...account('nobody')]
  const candidates = [...users.map((user) => ({ ...user, prefix: [], options: user })), namespaced]
  const chosen = candidates.find((candidate) => canServe(candidate, binaries))
  if (chosen) return chosen
  throw new EmbeddedPostgresError(
    `PostgreSQL does not run as root, and neither the users postgres and nobody nor a user namespace can run ${binaries.postgres} ` +
      `in ${binaries.folder}. Start as an ordinary user, move both out of folders that only root may enter, or set DATABASE_URL.`,
  )
}

/** Gives a folder and all in it to the server's user. */
export function handOver(path: string, { uid, gid }: ServerUser): void {
  const before = statSync(path)
  if (before.uid === uid && before.gid === gid) return
  const { status, stderr } = spawnSync('chown', ['-R', '-h', `${uid}:${gid}`, path], { encoding: 'utf8' })
  if (status !== 0) throw new EmbeddedPostgresError(`${path} could not be given to uid ${uid}: ${stderr}`)
}

/** Whether this user may enter the folder and run the program with its libraries. */
function canServe({ prefix, options }: ServerUser, { postgres, folder, environment }: PostgresBinaries): boolean {
  const script = 'cd "$1" && exec "$2" --version'
  const [command = '', ...args] = [...prefix, '/bin/sh', '-c', script, 'sh', folder, postgres]
  return spawnSync(command, args, { ...options, env: environment, stdio: 'ignore', cwd: '/' }).status === 0
}

function clusterOwner(folder: string): { uid: number; gid: number } | undefined {
  const data = join(folder, 'data')
  if (!existsSync(data)) return undefined
  const { uid, gid } = statSync(data)
  return { uid, gid }
}

function account(name: string): { uid: number; gid: number }[] {
  if (!existsSync('/etc/passwd')) return []
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`))
  const [, , uid, gid] = line?.split(':') ?? []
  return uid && gid ? [{ uid: Number(uid), gid: Number(gid) }] : []
}
