import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { type Owner, openRegular, within } from './handles.js'

/** Of each channel of a run. */
const MOST_BYTES = 16 * 1024 * 1024
/** What may wait to be written before the program is kept waiting. */
const MOST_WAITING = 256 * 1024

/** A file that lines are added to, up to a size. Its trouble is nobody else's: what cannot be written is left out. */
export class LogFile {
  private waiting: Buffer[] = []
  private waitingBytes = 0
  private writing?: Promise<void>

  private constructor(
    private readonly file: FileHandle | undefined,
    private room: number,
  ) {}

  static async open(folder: FileHandle, name: string, owner?: Owner): Promise<LogFile> {
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT
    const file = await openRegular(within(folder, name), flags)
    if (owner) await file?.chown(owner.uid, owner.gid)
    return new LogFile(file, MOST_BYTES - ((await file?.stat())?.size ?? 0))
  }

  /** What it returns is to be waited for before more is added. */
  add(line: string): void | Promise<void> {
    if (!this.file || this.room <= 0) return
    const bytes = Buffer.from(`${line}\n`).subarray(0, this.room)
    this.room -= bytes.length
    this.waiting.push(bytes)
    this.waitingBytes += bytes.length
    this.writing ??= this.write()
    if (this.waitingBytes > MOST_WAITING) return this.writing
  }

  async close(): Promise<void> {
    await this.writing
    await this.file?.close()
  }

  private async write(): Promise<void> {
    try {
      while (this.waiting.length > 0) {
        const bytes = Buffer.concat(this.waiting)
        this.waiting = []
        this.waitingBytes = 0
        await this.file?.appendFile(bytes)
      }
    } catch {
      this.room = 0
    } finally {
      this.writing = undefined
    }
  }
}
