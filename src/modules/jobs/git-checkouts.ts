import { createHash } from 'node:crypto'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { newId } from '../../platform/ids.js'
import { type GitLimits, GitProgram } from './git-program.js'
import type { GitSource } from './job-settings.js'
import { removeOldStates, stillThere } from './old-states.js'
import { isThere } from './on-disk.js'
import { UnreadableSource } from './source-tree.js'

const LIMITS: GitLimits & { files: number; bytes: number } = {
  timeoutMs: 120_000,
  packBytes: 1024 * 1024 * 1024,
  files: 50_000,
  bytes: 1024 * 1024 * 1024,
}
const CURRENT = 'refs/sources/current'
const COMMIT = /^[0-9a-f]{40}([0-9a-f]{24})?$/

/**
 * Checkouts of one repository below `folder`: each commit in a folder of its name, which is there as a whole or not at all. Several
 * processes may share them. Nothing of the repository is run or interpreted: no hooks, no filters, no submodules, and its configuration
 * is not read.
 */
export class GitCheckouts {
  private readonly folder: string
  private readonly git: GitProgram

  constructor(
    folder: string,
    private readonly source: Pick<GitSource, 'name' | 'url' | 'ref'>,
    private readonly limits = LIMITS,
  ) {
    const key = createHash('sha256').update(`${source.name}\0${source.url}`).digest('hex').slice(0, 32)
    this.folder = join(folder, key)
    this.git = new GitProgram(this.folder, source.url, limits)
  }

  /** Fetches what the ref stands for now, and tells the folder that it is checked out in. Throws `UnreadableSource`. */
  async current(signal?: AbortSignal): Promise<string> {
    await this.prepare()
    const ref = this.source.ref ?? 'HEAD'
    await this.git.run(
      [
        'fetch',
        '--quiet',
        '--depth=1',
        '--no-tags',
        '--no-recurse-submodules',
        '--no-write-fetch-head',
        '--force',
        'source',
        `+${ref}:${CURRENT}`,
      ],
      { signal, what: `${this.shownRef} could not be fetched` },
    )
    const commit = (
      await this.git.run(['rev-parse', '--verify', '--quiet', `${CURRENT}^{commit}`], {
        signal,
        what: `${this.shownRef} is no commit`,
      })
    ).trim()
    if (!COMMIT.test(commit)) throw new UnreadableSource('the repository has no commit there')
    const target = join(this.folder, commit)
    if (!(await stillThere(target))) await this.checkOut(commit, target, signal)
    await removeOldStates(this.folder, commit, (name) => COMMIT.test(name) || /^\.(new|index)-/.test(name))
    return target
  }

  private get shownRef(): string {
    return this.source.ref ?? 'the default branch'
  }

  private async prepare(): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 })
    // The repository may be somebody else's folder on this host. Of the configuration of the host nothing is read.
    await writeFile(this.git.configuration, '[safe]\n\tdirectory = *\n', { mode: 0o600 })
    if (await isThere(join(this.git.repository, 'HEAD'))) return
    const unfinished = join(this.folder, `.new-${newId('job')}`)
    await this.git.run(['init', '--quiet', '--bare', '--template=', '--', unfinished], {
      what: 'no repository could be made',
    })
    await rename(unfinished, this.git.repository).catch(() => rm(unfinished, { recursive: true, force: true }))
  }

  private async checkOut(commit: string, target: string, signal?: AbortSignal): Promise<void> {
    await this.checkSize(commit, signal)
    const unfinished = join(this.folder, `.new-${newId('job')}`)
    const index = join(this.folder, `.index-${newId('job')}`)
    await mkdir(unfinished)
    try {
      const options = { signal, index, workTree: unfinished, what: 'it could not be checked out' }
      await this.git.run(['read-tree', commit], options)
      await this.git.run(['checkout-index', '--all', '--force'], options)
      await rename(unfinished, target).catch((error: NodeJS.ErrnoException) => {
        // Another process was faster.
        if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
      })
    } finally {
      await rm(unfinished, { recursive: true, force: true })
      await rm(index, { force: true })
    }
  }

  /** A few trees that hold one another may stand for more files than any disk holds. */
  private async checkSize(commit: string, signal?: AbortSignal): Promise<void> {
    let files = 0
    let bytes = 0
    await this.git.lines(['ls-tree', '-r', '-l', '-z', '--full-tree', commit], {
      signal,
      what: 'its files could not be listed',
      onLine: (line) => {
        files++
        bytes += Number(/^\d+ \w+ \w+ +(\d+)\t/.exec(line)?.[1] ?? 0)
        if (files > this.limits.files) throw new UnreadableSource(`it has more than ${this.limits.files} files`)
        if (bytes > this.limits.bytes) throw new UnreadableSource(`its files have more than ${this.limits.bytes} bytes`)
      },
    })
  }
}
