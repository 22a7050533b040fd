import { createHash } from 'node:crypto'
import { byName, foldersDownTo } from '../../definitions/flwd/index.js'
import type { Odd, SourceFile, SourceListing } from './source-tree.js'

/** A folder that is a job, with all that belongs to it. */
export interface JobFolder {
  /** From the source's root. */
  folder: string
  /** The files that say so: one, if all is well. */
  sentinels: string[]
  /** Its own files, in the order of their paths, and what lies for it in the folders above. */
  files: SourceFile[]
  /** Of its own folder. */
  odds: Odd[]
  /** Differs once any of it has changed. */
  mark: string
}

const PLAIN = 'config.yaml'
const NESTED = 'config.d/config.yaml'
/** Jobs of one source. */
export const MOST_JOBS = 5_000

/**
 * The jobs among the folders of a source: each with a `config.yaml`, or `config.d/config.yaml`. What lies in a job's folder belongs to it,
 * but for jobs in it, which are jobs of their own; and so do the variables and libraries of the folders above.
 */
export function jobFoldersOf({ files, odds }: SourceListing): JobFolder[] {
  const folders = new Map<string, string[]>()
  for (const { path } of [...files, ...odds]) {
    const folder = folderOfSentinel(path)
    if (folder === undefined || folder.split('/').some((part) => part.startsWith('.') || part === 'config.d')) continue
    folders.set(folder, [...(folders.get(folder) ?? []), path])
  }
  const owned = <T extends { path: string }>(entries: readonly T[]): Map<string, T[]> => {
    const byOwner = new Map<string, T[]>()
    for (const entry of entries) {
      const owner = ownerOf(entry.path, folders)
      if (owner === undefined) continue
      const list = byOwner.get(owner)
      if (list) list.push(entry)
      else byOwner.set(owner, [entry])
    }
    return byOwner
  }
  const sharedBy = new Map<string, SourceFile[]>()
  for (const file of files) {
    const place = /^(?:(.*)\/)?config\.d\/(?:vars|libs)\/[^/]+$/.exec(file.path)
    if (!place) continue
    const folder = place[1] ?? ''
    sharedBy.set(folder, [...(sharedBy.get(folder) ?? []), file])
  }
  const ownFiles = owned(files)
  const ownOdds = owned(odds)
  return [...folders.keys()].sort(byName).map((folder) => {
    const above = foldersDownTo(folder).slice(0, -1)
    const own = ownFiles.get(folder) ?? []
    const all = [...new Set([...above.flatMap((one) => sharedBy.get(one) ?? []), ...own])]
    all.sort((one, other) => byName(one.path, other.path))
    const sentinels = (folders.get(folder) ?? []).sort(byName)
    return { folder, sentinels, files: all, odds: ownOdds.get(folder) ?? [], mark: markOf(sentinels, all) }
  })
}

/** The names of a job's files in its own folder. */
export function ownNames({ folder, files }: JobFolder): Set<string> {
  const prefix = folder === '' ? '' : `${folder}/`
  return new Set(files.flatMap(({ path }) => (path.startsWith(prefix) ? [path.slice(prefix.length)] : [])))
}

function folderOfSentinel(path: string): string | undefined {
  for (const sentinel of [NESTED, PLAIN]) {
    if (path === sentinel) return ''
    if (path.endsWith(`/${sentinel}`)) return path.slice(0, -sentinel.length - 1)
  }
  return undefined
}

/** The innermost job that a path lies in. */
function ownerOf(path: string, folders: ReadonlyMap<string, unknown>): string | undefined {
  for (let cut = path.lastIndexOf('/'); cut > 0; cut = path.lastIndexOf('/', cut - 1)) {
    const folder = path.slice(0, cut)
    if (folders.has(folder)) return folder
  }
  return folders.has('') ? '' : undefined
}

function markOf(sentinels: readonly string[], files: readonly SourceFile[]): string {
  const hash = createHash('sha256')
  for (const sentinel of sentinels) hash.update(`${sentinel}\0`)
  for (const { path, mark } of files) hash.update(`${path}\0${mark}\0`)
  return hash.digest('hex')
}
