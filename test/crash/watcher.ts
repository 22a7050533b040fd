import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'

const LOOK_MS = 100
/** Of so many looks one is at what has ended, which costs more. */
const ENDS_EVERY = 5
/** Ends are looked for this far back, for a look may have failed while the database was away. */
const BACK_SECONDS = 30

/** A run as it was seen at its end, the first time or differently than before. */
export interface Sighting {
  run: string
  state: string
  finishedAt: number
}

/** How long a run waited for another process, nothing else having gone wrong meanwhile. */
export interface Recovery {
  run: string
  /** By the restart of the only processes, by another process at once, or by another once the lease had run out. */
  how: 'restart' | 'takeover' | 'lease'
  ms: number
}

interface Owned {
  id: string
  epoch: number
  pid: number
}

interface Bereft {
  how: Recovery['how']
  epoch: number
  /** Undefined as long as there is no process that could take it over. */
  since?: number
}

/** Looks at the table of runs all the time, over a connection of its own: what has ended stays so, and how soon lost runs are taken up. */
export class Watcher {
  readonly sightings: Sighting[] = []
  readonly recoveries: Recovery[] = []
  private readonly ends = new Map<string, string>()
  private readonly bereft = new Map<string, Bereft>()
  private owned: Owned[] = []
  private stopped = false
  private readonly looking: Promise<void>

  constructor(private readonly url: string) {
    this.looking = this.look()
  }

  /** The process is gone, or stands still: from now on its runs wait for another. */
  lost(pid: number, how: Recovery['how'], at: number): void {
    this.disturbed(how === 'restart' ? undefined : at)
    for (const { id, epoch } of this.owned.filter((run) => run.pid === pid))
      this.bereft.set(id, { how, epoch, since: how === 'restart' ? undefined : at })
  }

  /** A further fault came in between: what counts is the time from the last of them on, or from when somebody can do anything again. */
  disturbed(at: number | undefined): void {
    for (const run of this.bereft.values()) run.since = at
  }

  /** There is a process again, and a database. */
  servedAgain(at: number): void {
    for (const run of this.bereft.values()) run.since ??= at
  }

  async stop(): Promise<void> {
    this.stopped = true
    await this.looking
  }

  private async look(): Promise<void> {
    while (!this.stopped) {
      const client = new pg.Client({ connectionString: this.url, application_name: 'crash watcher' })
      client.on('error', () => {})
      try {
        await client.connect()
        for (let looks = 0; !this.stopped; looks++) {
          await this.lookAtOwned(client)
          if (looks % ENDS_EVERY === 0) await this.lookAtEnds(client)
          if (this.bereft.size > 0) await this.lookAfterBereft(client)
          await delay(LOOK_MS)
        }
      } catch {
        // The database is away, as it is meant to be now and then.
        await delay(LOOK_MS)
      } finally {
        await client.end().catch(() => {})
      }
    }
  }

  private async lookAtOwned(client: pg.Client): Promise<void> {
    const owned = await client.query<Owned>({
      name: 'owned',
      text: `select r.id, r.epoch, e.pid from run r join engine_instance e on e.id = r.owner where r.state = 'running'`,
    })
    this.owned = owned.rows
  }

  private async lookAtEnds(client: pg.Client): Promise<void> {
    const ended = await client.query<{ id: string; state: string; at: string }>({
      name: 'ended',
      text: `select id, state, (extract(epoch from finished_at) * 1000)::bigint as at from run
        where finished_at >= now() - make_interval(secs => ${BACK_SECONDS})`,
    })
    for (const { id, state, at } of ended.rows) this.sight({ run: id, state, finishedAt: Number(at) })
  }

  private sight(sighting: Sighting): void {
    const end = `${sighting.state} ${sighting.finishedAt}`
    if (this.ends.get(sighting.run) === end) return
    this.ends.set(sighting.run, end)
    this.sightings.push(sighting)
  }

  private async lookAfterBereft(client: pg.Client): Promise<void> {
    const { rows } = await client.query<{ id: string; state: string; epoch: number }>({
      name: 'bereft',
      text: 'select id, state, epoch from run where id = any ($1)',
      values: [[...this.bereft.keys()]],
    })
    const now = Date.now()
    for (const { id, state, epoch } of rows) {
      const before = this.bereft.get(id)
      if (!before) continue
      // It had ended, or was parked, before its process was gone.
      if (epoch === before.epoch && state !== 'running') this.bereft.delete(id)
      if (epoch === before.epoch || state === 'queued' || before.since === undefined) continue
      this.bereft.delete(id)
      this.recoveries.push({ run: id, how: before.how, ms: Math.max(0, now - before.since) })
    }
  }
}
