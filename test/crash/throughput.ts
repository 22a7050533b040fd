import pg from 'pg'
import type { ForeignWork } from './foreign-work.js'
import type { Load } from './load.js'

const LANES = 24
const WINDOW_MS = 2_000
const BEFORE = { warmUp: 2, windows: 3 }
/** Windows in which what was before may be reached again. */
const AFTER = 15
export const ENOUGH = 0.95
/** Below this share of the machine a rate says nothing any more. */
const LEAST_SHARE = 0.2

export interface Throughput {
  /** Runs per second, accepted and finished; as on a machine that does nothing else. */
  before: number
  after: number
}

/** Runs of two light steps per second, from being asked for until they are seen finished in the table. */
export class ThroughputMeter {
  private finished = 0

  constructor(
    private readonly url: string,
    private readonly load: Load,
    private readonly foreign: ForeignWork,
  ) {}

  /** The middle one of several windows. */
  async before(): Promise<number> {
    const rates = await this.windows(BEFORE.warmUp + BEFORE.windows, () => false)
    return rates.slice(BEFORE.warmUp).sort((one, other) => one - other)[BEFORE.windows >> 1] as number
  }

  /** The best window until one is as good as before; servers that have just begun are slow at first. */
  async after(before: number): Promise<number> {
    return Math.max(...(await this.windows(AFTER, (rate) => rate >= before * ENOUGH)))
  }

  private async windows(most: number, isEnough: (rate: number) => boolean): Promise<number[]> {
    const client = new pg.Client({ connectionString: this.url, application_name: 'crash throughput' })
    await client.connect()
    const waiting = new Map<string, () => void>()
    let isOver = false
    const lanes = Array.from({ length: LANES }, async () => {
      while (!isOver) {
        const run = await this.load.light()
        if (run) await new Promise<void>((resolve) => waiting.set(run, resolve))
        this.finished++
      }
    })
    const rates: number[] = []
    while (rates.length < most && !isEnough(rates.at(-1) ?? 0)) {
      this.foreign.share()
      const [from, before] = [performance.now(), this.finished]
      while (performance.now() < from + WINDOW_MS) await this.settle(client, waiting)
      const rate = ((this.finished - before) * 1_000) / (performance.now() - from)
      rates.push(rate / Math.max(LEAST_SHARE, 1 - this.foreign.share()))
    }
    isOver = true
    const all = Promise.all(lanes).then(() => true)
    while (!(await Promise.race([all, this.settle(client, waiting).then(() => false)])));
    await client.end()
    return rates
  }

  private async settle(client: pg.Client, waiting: Map<string, () => void>): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 5))
    if (waiting.size === 0) return
    const { rows } = await client.query<{ id: string }>({
      name: 'settled',
      text: 'select id from run where id = any ($1) and finished_at is not null',
      values: [[...waiting.keys()]],
    })
    for (const { id } of rows) {
      waiting.get(id)?.()
      waiting.delete(id)
    }
  }
}
