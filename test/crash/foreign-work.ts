import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

interface Look {
  /** All ticks of all processors, and those in which they worked. */
  total: number
  busy: number
  /** Ticks of our processes, by their id. */
  own: Map<string, number>
}

/** What else the machine does: a rate that is measured while others take half of it counts twice. */
export class ForeignWork {
  private before: Look

  /** Ours are this process, and those that work on the folder: its servers and its database. */
  constructor(private readonly folder: string) {
    this.before = this.look()
  }

  /** The share of the processors that others have used since it was asked last. */
  share(): number {
    const { before } = this
    const now = this.look()
    this.before = now
    const own = [...now.own].reduce((sum, [pid, ticks]) => sum + ticks - (before.own.get(pid) ?? 0), 0)
    return Math.min(1, Math.max(0, (now.busy - before.busy - own) / Math.max(1, now.total - before.total)))
  }

  private look(): Look {
    // "cpu  user nice system idle iowait irq softirq steal …"; what another guest of the host took is not ours either.
    const [first = ''] = readFileSync('/proc/stat', 'utf8').split('\n')
    const ticks = first.split(/\s+/).slice(1, 9).map(Number)
    const total = ticks.reduce((sum, one) => sum + one, 0)
    const own = new Map<string, number>()
    for (const pid of readdirSync('/proc')) if (/^\d+$/.test(pid) && this.isOurs(pid)) own.set(pid, ticksOf(pid))
    return { total, busy: total - (ticks[3] ?? 0) - (ticks[4] ?? 0), own }
  }

  private isOurs(pid: string): boolean {
    if (Number(pid) === process.pid) return true
    try {
      return (
        readlinkSync(`/proc/${pid}/cwd`).startsWith(this.folder) ||
        readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`DATA_DIR=${this.folder}`)
      )
    } catch {
      // It is gone, or another user's.
      return false
    }
  }
}

function ticksOf(pid: string): number {
  try {
    // "pid (name) state …"; the name may hold anything. Ticks of user and system are the 12th and 13th behind it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return Number(fields[11]) + Number(fields[12])
  } catch {
    return 0
  }
}
