import { readdirSync, readFileSync } from 'node:fs'
import pg from 'pg'
import type { Row } from './table.js'

/** Linux counts processor time in hundredths of a second, whatever the machine. */
const TICKS_PER_SECOND = 100

/** What Postgres has done so far, the processor seconds that processes have used, and the memory that they hold. */
export interface Usage {
  at: number
  serverCpu: number
  postgresCpu: number
  ownCpu: number
  /** Milliseconds that threads were ready to run and no processor was free. */
  serverWait: number
  postgresWait: number
  ownWait: number
  commits: number
  walBytes: number
  serverMiB: number
  /** Shared pages counted once. */
  postgresMiB: number
}

/** Reads how much of the machine the server and its Postgres use. */
export class Meter {
  private constructor(
    private readonly client: pg.Client,
    private readonly database: string,
    private readonly postgresRoot: number,
  ) {}

  static async open(url: string): Promise<Meter> {
    // A database of its own, so that its commits are not counted as the product's.
    const own = new URL(url)
    const database = own.pathname.slice(1)
    own.pathname = '/postgres'
    const client = new pg.Client({ connectionString: own.href })
    await client.connect()
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    return new Meter(client, database, parentOf(rows[0]?.pid ?? 0) ?? 0)
  }

  async read(serverPid?: number): Promise<Usage> {
    const { rows } = await this.client.query<{ commits: string; wal: string }>(
      `select (select xact_commit from pg_stat_database where datname = $1) as commits,
        pg_current_wal_insert_lsn() - '0/0'::pg_lsn as wal`,
      [this.database],
    )
    const own = process.cpuUsage()
    return {
      at: performance.now(),
      serverCpu: serverPid === undefined ? 0 : cpuOfTree(serverPid),
      postgresCpu: cpuOfTree(this.postgresRoot),
      ownCpu: (own.user + own.system) / 1e6,
      serverWait: serverPid === undefined ? 0 : waitOf([serverPid]),
      postgresWait: waitOf(treeOf(this.postgresRoot)),
      ownWait: waitOf([process.pid]),
      commits: Number(rows[0]?.commits),
      walBytes: Number(rows[0]?.wal),
      serverMiB: serverPid === undefined ? 0 : residentMiB(serverPid),
      postgresMiB: proportionalMiB(this.postgresRoot),
    }
  }

  /** Backends tell the statistics what they committed at most once a second; this waits until they have. */
  async settled(serverPid?: number): Promise<Usage> {
    for (let before = await this.read(serverPid); ; ) {
      await new Promise((resolve) => setTimeout(resolve, 1_100))
      const now = await this.read(serverPid)
      // An idle server still renews its lease and looks for work.
      if (now.commits - before.commits < 30) return now
      before = now
    }
  }

  async close(): Promise<void> {
    await this.client.end()
  }
}

/** What one run cost between two readings, as columns of a table. */
export function perRun(before: Usage, after: Usage, runs: number): Row {
  const cpu = (of: 'serverCpu' | 'postgresCpu' | 'ownCpu') => ((after[of] - before[of]) / runs) * 1_000
  return {
    ...(after.serverCpu > 0 ? { 'server CPU ms': cpu('serverCpu') } : { 'engine CPU ms': cpu('ownCpu') }),
    'Postgres CPU ms': cpu('postgresCpu'),
    commits: (after.commits - before.commits) / runs,
    'WAL bytes': Math.round((after.walBytes - before.walBytes) / runs),
  }
}

/** What part of the time between two readings work was ready and no processor was free, as columns; threads add up. */
export function waits(before: Usage, after: Usage): Row {
  const part = (of: 'serverWait' | 'postgresWait' | 'ownWait') => (after[of] - before[of]) / (after.at - before.at)
  return {
    'server waits': part('serverWait'),
    'Postgres waits': part('postgresWait'),
    'load waits': part('ownWait'),
  }
}

/** Processor seconds of a process, of its living descendants and of those children that it has seen end. */
export function cpuOfTree(root: number): number {
  return treeOf(root).reduce((seconds, pid) => seconds + cpuOf(pid), 0)
}

export function residentMiB(pid: number): number {
  return kilobytes(`/proc/${pid}/status`, 'VmRSS') / 1_024
}

function proportionalMiB(root: number): number {
  return treeOf(root).reduce((sum, pid) => sum + kilobytes(`/proc/${pid}/smaps_rollup`, 'Pss') / 1_024, 0)
}

/** A process and its living descendants. */
function treeOf(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    const parent = Number.isInteger(pid) ? parentOf(pid) : undefined
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), pid])
  }
  const withChildren = (pid: number): number[] => [pid, ...(children.get(pid) ?? []).flatMap(withChildren)]
  return withChildren(root)
}

/** A field that the kernel tells in kB; 0 of a process that has ended. */
function kilobytes(path: string, field: string): number {
  try {
    return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync(path, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** Of all threads of these processes, the second field of their `schedstat`. */
function waitOf(pids: readonly number[]): number {
  let nanoseconds = 0
  for (const pid of pids) {
    try {
      for (const thread of readdirSync(`/proc/${pid}/task`))
        nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[1])
    } catch {
      // It has ended.
    }
  }
  return nanoseconds / 1e6
}

function cpuOf(pid: number): number {
  // utime, stime, and the same of children that have ended: fields 14 to 17 of proc(5).
  const fields = statOf(pid)?.slice(11, 15).map(Number) ?? []
  return fields.reduce((sum, ticks) => sum + ticks, 0) / TICKS_PER_SECOND
}

function parentOf(pid: number): number | undefined {
  const parent = statOf(pid)?.[1]
  return parent === undefined ? undefined : Number(parent)
}

/** The fields of /proc/…/stat from the third on: the name before them may hold anything. */
function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}
