import { constants, createReadStream } from 'node:fs'
import { type FileHandle, readdir } from 'node:fs/promises'
import { posix } from 'node:path'
import { Readable } from 'node:stream'
import mime from 'mime-types'
import { openFolder, openRegular, within } from './handles.js'
import { matcher } from './patterns.js'
import type { LeftFile } from './ports.js'
import type { RunFolder } from './run-folders.js'

/** Files that one step may leave as artifacts; names that are looked at; folders in folders. */
const MOST_FILES = 1_000
const MOST_NAMES = 100_000
const DEEPEST = 32
/** Clocks of file systems tick less often than others. */
const CLOCK_SLACK_MS = 1_000

/** How people know the run's folder. */
export const WORKSPACE = '/workspace'

/** What is this server's own in the folder of a run, or shall not leave it. */
const OWN = ['args.json', 'data', 'plan.json', 'secrets', 'stderr', 'stdout']

export interface Left {
  /** Keeps each file; one that was opened is closed again. */
  keep(file: LeftFile): Promise<void>
  /** Says what was passed over. */
  warn(message: string): void
}

/**
 * Hands over the files that a step left as artifacts: those in the folder for them, and those in the run's folder that match a pattern. Only
 * regular files with one name, opened without following any link, and only those that changed since the step began.
 */
export async function leftFiles(
  folder: RunFolder,
  { patterns, since }: { patterns: readonly string[]; since: Date },
  left: Left,
): Promise<void> {
  // What was carried over from an earlier run is that one's.
  const from = Math.max(since.getTime() - CLOCK_SLACK_MS, folder.carriedAt ?? 0)
  const search = new Search(new Date(from), left)
  await search.in(folder.artifacts, 'artifacts', () => true)
  if (patterns.length === 0) return
  const matches = matcher(patterns)
  await search.in(folder.root, '', (path) => matches(path) && !isOwn(path))
}

function isOwn(path: string): boolean {
  const [first = ''] = path.split('/')
  return first === 'artifacts' || OWN.includes(first)
}

class Search {
  private files = 0
  private names = 0

  constructor(
    private readonly since: Date,
    private readonly left: Left,
  ) {}

  async in(folder: FileHandle, path: string, isWanted: (path: string) => boolean, depth = 0): Promise<void> {
    if (depth > DEEPEST) return this.left.warn(`'${path}' is too deep to be looked for artifacts`)
    const entries = await readdir(within(folder, '.'), { withFileTypes: true })
    for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
      if (++this.names > MOST_NAMES || this.files >= MOST_FILES) {
        if (this.names !== Number.POSITIVE_INFINITY)
          this.left.warn(`there are too many files: no more than ${MOST_FILES} become artifacts`)
        this.names = Number.POSITIVE_INFINITY
        return
      }
      const inner = path === '' ? entry.name : `${path}/${entry.name}`
      if (entry.isDirectory()) await this.below(within(folder, entry.name), inner, isWanted, depth)
      else if (isWanted(inner)) await this.file(within(folder, entry.name), inner)
    }
  }

  private async below(path: string, inner: string, isWanted: (path: string) => boolean, depth: number): Promise<void> {
    const folder = await openFolder(path).catch(() => undefined)
    if (!folder) return
    try {
      await this.in(folder, inner, isWanted, depth + 1)
    } finally {
      await folder.close()
    }
  }

  private async file(path: string, inner: string): Promise<void> {
    const file = await openRegular(path, constants.O_RDONLY)
    if (!file) return this.left.warn(`'${inner}' is no regular file with one name, and becomes no artifact`)
    try {
      const { size, ctime } = await file.stat()
      if (ctime < this.since) return
      this.files++
      await this.left.keep({
        name: posix.basename(inner),
        path: `${WORKSPACE}/${inner}`,
        mediaType: mime.lookup(inner) || 'application/octet-stream',
        size,
        // Opened anew each time, by the descriptor: whoever reads a stream to its end closes it. A file that grows meanwhile is kept as it was.
        content: () =>
          size === 0 ? Readable.from([]) : createReadStream(`/proc/self/fd/${file.fd}`, { start: 0, end: size - 1 }),
      })
    } finally {
      await file.close()
    }
  }
}
