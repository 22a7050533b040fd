import { readdir, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'

const HOUR_MS = 3_600_000

/** Whether a folder is there; then as one that was asked for just now. */
export async function stillThere(path: string): Promise<boolean> {
  const now = new Date()
  return await utimes(path, now, now).then(
    () => true,
    () => false,
  )
}

/** Removes what `isState` names in the folder, but for `current` and what was made or asked for in the last hour: others may still read it. */
export async function removeOldStates(
  folder: string,
  current: string,
  isState: (name: string) => boolean,
): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name === current || !isState(name)) continue
    const path = join(folder, name)
    const known = await stat(path).catch(() => undefined)
    if (known && Date.now() - known.mtimeMs > HOUR_MS) await rm(path, { recursive: true, force: true })
  }
}
