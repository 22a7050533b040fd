import { stat } from 'node:fs/promises'

export async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  )
}

export async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (known) => known.isDirectory(),
    () => false,
  )
}
