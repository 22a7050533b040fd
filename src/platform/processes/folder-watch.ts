import { setTimeout as delay } from 'node:timers/promises'
import { folderSize } from './folder-size.js'
import type { LimitReached } from './watchdog.js'

/** Between two measurements, at least. */
const MEASURE_MS = 500
/** A measurement may take this part of the time. */
const SHARE = 10
const MIB = 1024 * 1024

/** Measures a folder again and again, and tells once that it has become too large. */
export class FolderWatch {
  private readonly stopping = new AbortController()
  private readonly measuring: Promise<void>
  private isOver = false

  constructor(
    private readonly folder: string,
    private readonly mostMb: number,
    private readonly onReached: (reached: LimitReached) => void,
  ) {
    this.measuring = this.repeat()
  }

  /** Measures once more: what came last counts too. */
  async stop(): Promise<void> {
    if (this.stopping.signal.aborted) return await this.measuring
    this.stopping.abort()
    await this.measuring
    if (!this.isOver) await this.measure()
  }

  private async repeat(): Promise<void> {
    let pause = MEASURE_MS
    while (!this.isOver) {
      await delay(pause, undefined, { signal: this.stopping.signal }).catch(() => {})
      if (this.stopping.signal.aborted) return
      const began = performance.now()
      await this.measure()
      pause = Math.max(MEASURE_MS, (performance.now() - began) * SHARE)
    }
  }

  private async measure(): Promise<void> {
    const { bytes, fault } = await folderSize(this.folder)
    if (this.isOver || (bytes <= this.mostMb * MIB && !fault)) return
    this.isOver = true
    const message = fault
      ? `the size of its folder cannot be told: ${fault}`
      : `its folder took more than ${this.mostMb} MiB`
    this.onReached({ limit: 'disk', message })
  }
}
