import { createHash } from 'node:crypto'

/** Of the letters that a container's name may have, and of its first. */
const ALLOWED = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/
/** Longer ones are hard to read; nothing forbids them. */
const LONGEST = 120

/**
 * `<run>-<step>`, so that whoever lists containers knows whose they are, and a step that is tried again meets its own. A step whose name no
 * container can have is told from others by a hash of it.
 */
export function containerName(run: string, step: string): string {
  const name = `${run}-${step}`
  if (name.length <= LONGEST && ALLOWED.test(name)) return name
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 16)
  const readable = step.replace(/[^A-Za-z0-9_.-]/g, '_').slice(0, 40)
  return `${run}-${readable}-${hash}`
}
