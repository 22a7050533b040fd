import { constants } from 'node:fs'
import { type FileHandle, lstat, open, readdir, readlink, realpath, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { joinPaths } from '../../definitions/flwd/index.js'

/** A file of a source. Links to files are files, where what they lead to is in the source. */
export interface SourceFile {
  /** From the source's root, with `/`. */
  path: string
  size: number
  executable: boolean
  /** Differs once the file has changed. */
  mark: string
}

/** What else there is, and why nothing is taken from it. */
export interface Odd {
  path: string
  why: string
}

export interface SourceListing {
  files: SourceFile[]
  odds: Odd[]
}

export interface TreeLimits {
  /** Of the whole source. */
  entries: number
  depth: number
}

const LIMITS: TreeLimits = { entries: 100_000, depth: 40 }
/** Of git's own folder nothing belongs to a job. */
const LEFT_OUT = new Set(['.git'])

/** A source that cannot be read as a whole. The message is for its operator. */
export class UnreadableSource extends Error {}

/**
 * The folder of a source. Whoever writes in it may be hostile to the server: nothing outside it is ever read, links that lead out and
 * what is neither a file nor a folder (pipes, devices, sockets) are left, and so are names that are not UTF-8.
 */
export class SourceTree {
  private constructor(
    readonly root: string,
    private readonly limits: TreeLimits,
  ) {}

  /** Throws `UnreadableSource` where there is no such folder. */
  static async at(path: string, limits: Partial<TreeLimits> = {}): Promise<SourceTree> {
    const root = await realpath(path).catch((error: NodeJS.ErrnoException) => {
      throw new UnreadableSource(`${path} cannot be read (${error.code ?? error.message})`)
    })
    if (!(await stat(root)).isDirectory()) throw new UnreadableSource(`${path} is no folder`)
    return new SourceTree(root, { ...LIMITS, ...limits })
  }

  async list(): Promise<SourceListing> {
    const listing: SourceListing = { files: [], odds: [] }
    const pending = ['']
    let seen = 0
    for (let folder = pending.shift(); folder !== undefined; folder = pending.shift()) {
      for (const entry of await this.entriesOf(folder, listing.odds)) {
        if (++seen > this.limits.entries)
          throw new UnreadableSource(`it has more than ${this.limits.entries} files and folders`)
        const path = joinPaths(folder, entry.name)
        if (entry.isDirectory()) {
          if (LEFT_OUT.has(entry.name)) continue
          if (path.split('/').length <= this.limits.depth) pending.push(path)
          else listing.odds.push({ path, why: `it lies more than ${this.limits.depth} folders deep` })
        } else await this.add(path, listing)
      }
    }
    return listing
  }

  /** The file, opened so that nothing outside the source can be in its place. */
  async open(path: string): Promise<FileHandle> {
    const real = await realpath(join(this.root, path))
    if (!this.holds(real)) throw new UnreadableSource(`${path} leads out of the source`)
    const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      // A folder on the way may have been changed for a link in between: the kernel knows what was opened.
      const opened = await readlink(`/proc/self/fd/${file.fd}`).catch(() => real)
      if (!this.holds(opened)) throw new UnreadableSource(`${path} leads out of the source`)
      if (!(await file.stat()).isFile()) throw new UnreadableSource(`${path} is not a file`)
      return file
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async text(path: string, mostBytes: number): Promise<string> {
    const file = await this.open(path)
    try {
      const buffer = Buffer.alloc(mostBytes + 1)
      let length = 0
      for (;;) {
        const { bytesRead } = await file.read(buffer, length, buffer.length - length)
        length += bytesRead
        if (length > mostBytes) throw new UnreadableSource(`${path} may have at most ${mostBytes} bytes`)
        if (bytesRead === 0) break
      }
      return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length))
    } catch (error) {
      throw error instanceof TypeError ? new UnreadableSource(`${path} is not UTF-8`) : error
    } finally {
      await file.close()
    }
  }

  private async entriesOf(folder: string, odds: Odd[]) {
    const path = join(this.root, folder)
    const real = await realpath(path).catch(() => undefined)
    if (real !== path) return []
    const found = await readdir(path, { withFileTypes: true, encoding: 'buffer' }).catch((error) => {
      if (folder === '') throw new UnreadableSource(`its folder cannot be read (${error.code})`)
      odds.push({ path: folder, why: `it cannot be read (${error.code})` })
      return []
    })
    const entries: { name: string; isDirectory(): boolean }[] = []
    for (const entry of found) {
      const name = entry.name.toString('utf8')
      if (Buffer.from(name).equals(entry.name)) entries.push({ name, isDirectory: () => entry.isDirectory() })
      else odds.push({ path: joinPaths(folder, name), why: 'its name is not UTF-8' })
    }
    return entries
  }

  private async add(path: string, { files, odds }: SourceListing): Promise<void> {
    const full = join(this.root, path)
    try {
      const own = await lstat(full)
      const meant = own.isSymbolicLink() ? await this.behindLink(full) : own
      if (typeof meant === 'string') odds.push({ path, why: meant })
      else if (!meant.isFile()) odds.push({ path, why: 'it is not a file' })
      else {
        const { size, mode, mtimeMs, ctimeMs, ino } = meant
        const executable = (mode & 0o111) !== 0
        files.push({ path, size, executable, mark: [size, mode, mtimeMs, ctimeMs, ino].join(' ') })
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // It went away in the meantime.
      if (code !== 'ENOENT') odds.push({ path, why: `it cannot be read (${code})` })
    }
  }

  private async behindLink(path: string) {
    const real = await realpath(path).catch(() => undefined)
    if (real === undefined) return 'it is a link that leads nowhere'
    if (!this.holds(real)) return 'it is a link that leads out of the source'
    const meant = await lstat(real)
    return meant.isDirectory() ? 'it is a link to a folder' : meant
  }

  private holds(real: string): boolean {
    return real === this.root || real.startsWith(this.root === sep ? sep : this.root + sep)
  }
}
