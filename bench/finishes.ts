import pg from 'pg'

/** Tells when runs are durably finished: looks at the table as often as it answers, for all that are waited for at once. */
export class Finishes {
  private readonly waiting = new Map<string, () => void>()
  private stopped = false
  private looking: Promise<void>

  private constructor(
    private readonly client: pg.Client,
    private readonly pauseMs: number,
  ) {
    this.looking = this.look()
  }

  /** `pauseMs` between two looks bounds how much they cost, and how late a finish is seen. */
  static async open(url: string, pauseMs: number): Promise<Finishes> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    // Planned while the table is small, the look would read all of it for ever.
    await client.query('set enable_seqscan = off')
    return new Finishes(client, pauseMs)
  }

  of(runId: string): Promise<void> {
    return new Promise((resolve) => this.waiting.set(runId, resolve))
  }

  async close(): Promise<void> {
    this.stopped = true
    await this.looking
    await this.client.end()
  }

  private async look(): Promise<void> {
    while (!this.stopped) {
      if (this.waiting.size > 0) {
        const { rows } = await this.client.query<{ id: string; state: string }>({
          name: 'finished',
          text: 'select id, state from run where id = any ($1) and finished_at is not null',
          values: [[...this.waiting.keys()]],
        })
        for (const { id, state } of rows) {
          if (state !== 'completed') throw new Error(`run ${id} ended ${state}`)
          this.waiting.get(id)?.()
          this.waiting.delete(id)
        }
      }
      await new Promise((resolve) => (this.pauseMs > 0 ? setTimeout(resolve, this.pauseMs) : setImmediate(resolve)))
    }
  }
}
