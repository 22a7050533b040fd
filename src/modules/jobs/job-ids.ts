import { createHash } from 'node:crypto'

/** The longest id that is taken. */
export const LONGEST_ID = 500

/**
 * The id of the job in this folder of a source: each part in lower case, whatever is neither letter nor digit a dash. A folder whose name
 * has neither is known by its hash.
 */
export function idOf(mountPath: string, folder: string): string {
  const parts = folder === '' ? [] : folder.split('/').map(segmentOf)
  return [...(mountPath === '' ? [] : [mountPath]), ...parts].join('/')
}

function segmentOf(name: string): string {
  const segment = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
  return segment || `x-${createHash('sha256').update(name).digest('hex').slice(0, 8)}`
}

/** What a caller means by an id: also in the old form, `backup.daily`. */
export function idMeantBy(text: string): string {
  return text.replaceAll('.', '/').slice(0, LONGEST_ID + 1)
}

/** The last part of an id is the job's name, what stands before is its namespace. */
export function namesOf(id: string): { name: string; namespace: string } {
  const cut = id.lastIndexOf('/')
  return { name: id.slice(cut + 1), namespace: id.slice(0, Math.max(cut, 0)) }
}
