import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, rename, unlink } from 'node:fs/promises'

/*
 * The folder of a run is written by programs that nobody trusts, while this server works in it: any name may have become a link since it was last
 * looked at. So a folder is opened once, without following a link, and what is in it is reached through its descriptor.
 */

/** A name in a folder that is open. */
export function within({ fd }: FileHandle, name: string): string {
  return `/proc/self/fd/${fd}/${name}`
}

/** Throws where it is a link or no folder. */
export function openFolder(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
}

/** A regular file that has one name only; undefined where there is no such file. A pipe in its place is not waited for. */
export async function openRegular(path: string, flags = constants.O_RDONLY): Promise<FileHandle | undefined> {
  let handle: FileHandle
  try {
    handle = await open(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600)
  } catch (error) {
    if (
      ['ENOENT', 'ELOOP', 'ENXIO', 'EISDIR', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')
    )
      return undefined
    throw error
  }
  const stat = await handle.stat()
  if (stat.isFile() && stat.nlink === 1) return handle
  await handle.close()
  return undefined
}

export interface Owner {
  uid: number
  gid: number
}

/** The folder of this name, made where there is none. */
export async function ensureFolder(parent: FileHandle, name: string, owner?: Owner): Promise<FileHandle> {
  await mkdir(within(parent, name), { mode: 0o700 }).catch((error) => {
    if (error.code !== 'EEXIST') throw error
  })
  const folder = await openFolder(within(parent, name))
  if (owner) await folder.chown(owner.uid, owner.gid)
  return folder
}

/** Puts a file in place at once and whole, instead of whatever is there. */
export async function putFile(
  folder: FileHandle,
  name: string,
  content: string,
  { mode = 0o600, owner }: { mode?: number; owner?: Owner } = {},
): Promise<void> {
  const temporary = within(folder, `.${randomBytes(8).toString('hex')}`)
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  const file = await open(temporary, flags, mode)
  try {
    // Whatever the umask is.
    await file.chmod(mode)
    await file.writeFile(content)
    if (owner) await file.chown(owner.uid, owner.gid)
  } finally {
    await file.close()
  }
  try {
    await rename(temporary, within(folder, name))
  } catch (error) {
    await unlink(temporary).catch(() => {})
    throw error
  }
}
