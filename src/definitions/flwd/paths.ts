/** The path, as an author writes it, without `.` and `..`; undefined where it is not below where it begins. */
export function normalPath(path: string): string | undefined {
  if (path.startsWith('/') || path.includes('\0')) return undefined
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined) return undefined
  }
  return parts.join('/')
}

/** Of two paths with `/`, either of which may be empty. */
export function joinPaths(folder: string, path: string): string {
  return folder === '' || path === '' ? folder + path : `${folder}/${path}`
}

/** The order of names: that of their bytes, wherever the server runs. */
export function byName(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other))
}
