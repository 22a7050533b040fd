import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { StepError } from '../../engine/step.js'
import { newId } from '../../platform/ids.js'
import type { JobBundles } from '../../steps/process/ports.js'
import { isThere } from './on-disk.js'
import type { SourceFile, SourceTree } from './source-tree.js'

export interface BundleLimits {
  files: number
  bytes: number
}

const LIMITS: BundleLimits = { files: 5_000, bytes: 64 * 1024 * 1024 }
const SHA256 = /^[0-9a-f]{64}$/
const UNFINISHED = '.new-'
const HOUR_MS = 3_600_000

/** What belongs to a job is too much to be kept, or changes while it is read. The message is for its author. */
export class UnusableBundle extends Error {}

/**
 * Snapshots of jobs, each under the SHA-256 of what it holds: `DATA_DIR/jobs/bundles/<sha256>`. One is there as a whole or not at all, and
 * never changes. All processes that share the folder share the snapshots.
 */
export class BundleStore implements JobBundles {
  constructor(
    private readonly folder: string,
    private readonly limits: BundleLimits = LIMITS,
  ) {}

  async open(sha256: string): Promise<string> {
    const path = this.pathOf(sha256)
    if (await isThere(path)) return path
    throw new StepError('the files of this job are not there any more', { code: 'bundle_gone', retryable: false })
  }

  /** Keeps these files of a source; tells the snapshot's SHA-256. */
  async keep(tree: SourceTree, files: readonly SourceFile[]): Promise<string> {
    this.checkSize(files)
    const known = await this.digest(tree, files)
    if (await this.touch(known)) return known
    return await this.write(tree, files)
  }

  /** Removes the snapshots that `isNeeded` does not name, but for those that were made or asked for in the last hour. */
  async sweep(isNeeded: (sha256: readonly string[]) => Promise<ReadonlySet<string>>, now: Date): Promise<number> {
    const names = await readdir(this.folder).catch(() => [] as string[])
    const old: string[] = []
    for (const name of names) {
      const known = await stat(join(this.folder, name)).catch(() => undefined)
      if (known && now.getTime() - known.mtimeMs > HOUR_MS) old.push(name)
    }
    const needed = await isNeeded(old.filter((name) => SHA256.test(name)))
    const gone = old.filter((name) => !needed.has(name) && (SHA256.test(name) || name.startsWith(UNFINISHED)))
    for (const name of gone) await this.remove(name)
    return gone.length
  }

  /** First out of reach, so that nobody opens half of it. */
  private async remove(name: string): Promise<void> {
    const aside = join(this.folder, `${UNFINISHED}${newId('job')}`)
    await rename(join(this.folder, name), aside)
    await rm(aside, { recursive: true, force: true })
  }

  private async digest(tree: SourceTree, files: readonly SourceFile[]): Promise<string> {
    const listed = createHash('sha256')
    const budget = this.budget()
    for (const file of files) listed.update(lineOf(file, await this.copy(tree, file, budget)))
    return listed.digest('hex')
  }

  private async write(tree: SourceTree, files: readonly SourceFile[]): Promise<string> {
    const unfinished = join(this.folder, `${UNFINISHED}${newId('job')}`)
    // Snapshots may be read by everybody, since programs of jobs are nobody; what they are in is this server's alone.
    await mkdir(this.folder, { recursive: true, mode: 0o700 })
    await mkdir(unfinished)
    try {
      const listed = createHash('sha256')
      const budget = this.budget()
      for (const file of files) {
        const target = join(unfinished, file.path)
        await mkdir(dirname(target), { recursive: true })
        listed.update(lineOf(file, await this.copy(tree, file, budget, target)))
      }
      const sha256 = listed.digest('hex')
      await rename(unfinished, this.pathOf(sha256)).catch(async (error: NodeJS.ErrnoException) => {
        // Another process was faster.
        if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
      })
      return sha256
    } finally {
      await rm(unfinished, { recursive: true, force: true })
    }
  }

  /** Reads a file, and writes it where a target is named; tells the SHA-256 of its content. */
  private async copy(tree: SourceTree, file: SourceFile, budget: Budget, target?: string): Promise<string> {
    const hash = createHash('sha256')
    const from = await tree.open(file.path)
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
    const to = target === undefined ? undefined : await open(target, flags, file.executable ? 0o555 : 0o444)
    try {
      const buffer = Buffer.allocUnsafe(65_536)
      for (;;) {
        const { bytesRead } = await from.read(buffer, 0, buffer.length)
        if (bytesRead === 0) break
        budget.spend(bytesRead)
        const chunk = buffer.subarray(0, bytesRead)
        hash.update(chunk)
        await to?.writeFile(chunk)
      }
      await to?.sync()
    } finally {
      await from.close()
      await to?.close()
    }
    return hash.digest('hex')
  }

  private checkSize(files: readonly SourceFile[]): void {
    if (files.length > this.limits.files)
      throw new UnusableBundle(`it has ${files.length} files, and may have at most ${this.limits.files}`)
    this.budget().spend(files.reduce((sum, { size }) => sum + size, 0))
  }

  /** A file may grow while it is read. */
  private budget(): Budget {
    const { bytes } = this.limits
    let left = bytes
    return {
      spend(more) {
        left -= more
        if (left < 0) throw new UnusableBundle(`its files have more than ${bytes} bytes together`)
      },
    }
  }

  /** Whether it is there, as it then is for an hour at least. */
  private async touch(sha256: string): Promise<boolean> {
    const now = new Date()
    return await utimes(this.pathOf(sha256), now, now).then(
      () => true,
      () => false,
    )
  }

  private pathOf(sha256: string): string {
    if (!SHA256.test(sha256)) throw new StepError('this is no snapshot', { code: 'bundle_gone', retryable: false })
    return join(this.folder, sha256)
  }
}

interface Budget {
  spend(bytes: number): void
}

function lineOf({ path, executable }: SourceFile, sha256: string): string {
  return `${sha256} ${executable ? 'x' : '-'} ${path}\0`
}
