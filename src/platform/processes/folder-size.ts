import { execFile } from 'node:child_process'
import { lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { SYSTEM_PATH } from './system-path.js'

/** How long the size of one folder may take to measure. */
const MEASURE_MS = 60_000

/** What is counted for a file however small it is: its entry and its inode take place too. */
const BYTES_OF_ENTRY = 1_024

export interface FolderSize {
  bytes: number
  /** Why it cannot be told, where that is the doing of whoever filled it. */
  fault?: string
}

/**
 * The place that a folder takes on disk, its files' entries included. A program of its own measures it: it holds its way by descriptors,
 * so that no depth and no link leads it astray, and a million files keep no thread of this process busy.
 */
export async function folderSize(path: string): Promise<FolderSize> {
  const [blocks, entries] = await Promise.all([du(['-skx', path]), du(['-sx', '--inodes', path])])
  const fault = blocks.fault ?? entries.fault
  return { bytes: Math.max(blocks.total * 1_024, entries.total * BYTES_OF_ENTRY), fault }
}

/** Names that this process looks at itself. */
const FEW = 200

/**
 * The same of a folder that nobody works in any more, so that no program has to be started for it where it holds little: most do. One with
 * more in it, or that is closed in part, is measured by the program.
 */
export async function restingFolderSize(path: string): Promise<FolderSize> {
  const { dev } = await lstat(path)
  const seen = { names: 1, blocks: 0 }
  const links = new Set<number>()
  const look = async (folder: string): Promise<boolean> => {
    seen.blocks += (await lstat(folder)).blocks
    for await (const entry of await opendir(folder)) {
      if (++seen.names > FEW) return false
      const inner = join(folder, entry.name)
      const stat = await lstat(inner)
      if (stat.dev !== dev || links.has(stat.ino)) continue
      if (stat.nlink > 1 && !stat.isDirectory()) links.add(stat.ino)
      if (!stat.isDirectory()) seen.blocks += stat.blocks
      else if (!(await look(inner))) return false
    }
    return true
  }
  const isWhole = await look(path).catch(() => false)
  if (!isWhole) return await folderSize(path)
  return { bytes: Math.max(seen.blocks * 512, seen.names * BYTES_OF_ENTRY) }
}

function du(args: readonly string[]): Promise<{ total: number; fault?: string }> {
  return new Promise((resolve) => {
    const options = { env: { PATH: SYSTEM_PATH, LC_ALL: 'C' }, timeout: MEASURE_MS, maxBuffer: 1024 * 1024 }
    execFile('du', args, options, (error, stdout, stderr) => {
      // What vanishes meanwhile is no fault; what is closed to whoever owns it is hidden on purpose.
      const isClosed = /Permission denied|File name too long/.test(stderr)
      const isLate = error?.killed === true
      resolve({
        total: Number.parseInt(stdout, 10) || 0,
        fault: isClosed ? 'a folder in it is closed' : isLate ? 'it cannot be measured in time' : undefined,
      })
    })
  })
}
