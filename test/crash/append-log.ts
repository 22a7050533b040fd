import { type FileHandle, open, readFile } from 'node:fs/promises'

/**
 * A file of JSON lines beside the database, which the crashes cannot reach. An entry is on the disk once `append` resolves; those that
 * come while the disk is busy share the next sync.
 */
export class AppendLog<Entry extends object> {
  private waiting = ''
  private next?: Promise<void>
  private last: Promise<void> = Promise.resolve()

  private constructor(private readonly file: FileHandle) {}

  static async create<Entry extends object>(path: string): Promise<AppendLog<Entry>> {
    return new AppendLog(await open(path, 'a'))
  }

  append(entry: Entry): Promise<void> {
    this.waiting += `${JSON.stringify(entry)}\n`
    this.next ??= this.last = this.last.then(() => this.sync())
    return this.next
  }

  async close(): Promise<void> {
    await this.last
    await this.file.close()
  }

  private async sync(): Promise<void> {
    const text = this.waiting
    this.waiting = ''
    this.next = undefined
    await this.file.appendFile(text)
    await this.file.datasync()
  }
}

/** What an `AppendLog` holds on the disk. */
export async function readLog<Entry extends object>(path: string): Promise<Entry[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as Entry)
}
