import { Logger } from '@nestjs/common'
import { type FSWatcher, watch } from 'chokidar'
import type { IndexSummary, JobIndex } from './job-index.js'
import type { JobSource } from './job-settings.js'
import { UnreadableSource } from './source-tree.js'

/** Changes that come together are looked at together; those that go on and on are looked at all the same. */
const QUIET_MS = 200
const MOST_QUIET_MS = 2_000
/** What no watcher tells: a link to the root that leads elsewhere now, a folder on a network. */
const SOMETIMES_MS = 60_000
/** Where nothing can be watched. */
const OFTEN_MS = 5_000
/** Each file that is watched costs memory and one of the kernel's watches. */
const MOST_WATCHED = 20_000

export interface Keeping {
  source: JobSource
  /** Brings the source up to date and tells the folder that it is in. */
  fetch(signal: AbortSignal): Promise<string>
  /** How often to look, whatever is watched; 0: only once. */
  everyMs: number
  watches: boolean
  /** Lets go of what `fetch` holds. */
  close?(): Promise<void>
}

/** Looks after one source: reads its jobs anew whenever something has changed. */
export class SourceKeeper {
  private readonly logger = new Logger(SourceKeeper.name)
  private looking: Promise<void> = Promise.resolve()
  private watcher?: FSWatcher
  private watched?: string
  private rounds?: NodeJS.Timeout
  private quiet?: NodeJS.Timeout
  private unquietSince?: number
  private trouble?: string
  private readonly stopping = new AbortController()

  constructor(
    private readonly keeping: Keeping,
    private readonly index: JobIndex,
  ) {}

  /** Resolves once the source was read for the first time. */
  async start(): Promise<void> {
    await this.look()
    if (this.keeping.everyMs > 0) this.every(this.keeping.everyMs)
  }

  async stop(): Promise<void> {
    this.stopping.abort()
    clearInterval(this.rounds)
    clearTimeout(this.quiet)
    await this.watcher?.close()
    await this.looking
    await this.keeping.close?.()
  }

  private get stopped(): boolean {
    return this.stopping.signal.aborted
  }

  /** Rounds follow one another. */
  look(): Promise<void> {
    this.looking = this.looking.then(() => (this.stopped ? undefined : this.round()))
    return this.looking
  }

  private async round(): Promise<void> {
    const { source, fetch } = this.keeping
    try {
      const root = await fetch(this.stopping.signal)
      const summary = await this.index.index(source, root)
      if (this.trouble !== undefined) this.logger.log({ source: source.name }, 'a source of jobs can be read again')
      this.trouble = undefined
      if (summary.changed > 0) this.logger.log({ source: source.name, ...summary }, 'jobs were indexed')
      if (this.keeping.watches) await this.watchOver(root, summary)
    } catch (error) {
      const { message } = error as Error
      if (this.stopped) return
      if (!(error instanceof UnreadableSource))
        this.logger.error({ source: source.name, err: error }, 'a source of jobs could not be indexed')
      else if (message !== this.trouble)
        this.logger.warn(
          { source: source.name, reason: message },
          'a source of jobs cannot be read: its jobs stay as they are known',
        )
      this.trouble = message
    }
  }

  private async watchOver(root: string, { files }: IndexSummary): Promise<void> {
    if (this.watched === root || this.stopped) return
    await this.watcher?.close()
    this.watched = root
    this.watcher = undefined
    if (files > MOST_WATCHED) {
      this.logger.warn(
        { source: this.keeping.source.name, files },
        'a source of jobs is too large to be watched: it is read every few seconds',
      )
      this.every(OFTEN_MS)
      return
    }
    const ignored = (path: string) => path.endsWith('/.git')
    this.watcher = watch(root, { ignoreInitial: true, followSymlinks: false, ignored, depth: 40 })
    this.watcher.on('all', () => this.soon())
    this.watcher.on('error', (error) => {
      this.logger.warn(
        { source: this.keeping.source.name, err: error },
        'a source of jobs cannot be watched: it is read every few seconds',
      )
      this.every(OFTEN_MS)
    })
    const { watcher } = this
    await new Promise<void>((resolve) => {
      watcher.once('ready', resolve)
      watcher.once('error', () => resolve())
    })
    // What has changed between the reading and the watching was told by nobody.
    this.soon()
  }

  private soon(): void {
    if (this.stopped) return
    const now = Date.now()
    this.unquietSince ??= now
    clearTimeout(this.quiet)
    const wait = Math.max(0, Math.min(QUIET_MS, this.unquietSince + MOST_QUIET_MS - now))
    this.quiet = setTimeout(() => {
      this.unquietSince = undefined
      void this.look()
    }, wait)
  }

  private every(ms: number): void {
    clearInterval(this.rounds)
    if (!this.stopped) this.rounds = setInterval(() => void this.look(), ms)
  }
}

/** How often a folder that is watched is looked at all the same. */
export const NOW_AND_THEN_MS = SOMETIMES_MS
