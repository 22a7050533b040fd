import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

const SQLITE_BUSY = 5

/**
 * Says that one process owns a folder. The lock is the kernel's (taken through SQLite, Node's only way to it), so it ends with its
 * owner, however that ends, and needs no guess about whether a process id still means the same process.
 */
export class FolderLock {
  private constructor(private readonly file: DatabaseSync) {}

  /** The lock, or the process id of the one that holds it (undefined when it has not said so yet). */
  static take(path: string): FolderLock | { heldBy: string | undefined } {
    const file = new DatabaseSync(path, { timeout: 0 })
    try {
      file.exec('BEGIN EXCLUSIVE')
    } catch (error) {
      file.close()
      if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error
      return { heldBy: readOwner(path) }
    }
    chmodSync(path, 0o600)
    writeFileSync(ownerFile(path), `${process.pid}\n`)
    return new FolderLock(file)
  }

  release(): void {
    if (this.file.isOpen) this.file.close()
  }
}

/** Beside the lock, because reading a locked file through another handle would end the lock of the process that does it. */
function ownerFile(path: string): string {
  return `${path}.pid`
}

function readOwner(path: string): string | undefined {
  try {
    return readFileSync(ownerFile(path), 'utf8').trim()
  } catch {
    return undefined
  }
}
