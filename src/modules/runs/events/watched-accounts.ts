import type { Hints } from '../../../platform/hints/hints.js'
import { RUN_HINT } from '../run-hints.js'
import { WatchedElsewhere } from './watched-elsewhere.js'

/** How often the others are told again which accounts are watched here. */
const ANNOUNCE_MS = 10_000

/**
 * Which accounts somebody watches, in this process or in another. While one is watched its runs write their events at once, and whoever
 * writes some says so; what nobody watches costs no word.
 */
export class WatchedAccounts {
  /** Those who watch here. */
  private readonly here = new Map<string, number>()
  private readonly elsewhere = new WatchedElsewhere()
  private announcing?: NodeJS.Timeout

  /** Called when an account that is watched here has something new. */
  onChange: (accountId: string) => void = () => {}

  constructor(private readonly hints: Hints) {
    hints.on(RUN_HINT.accountWatched, (id) => this.elsewhere.believe(id))
    hints.on(RUN_HINT.accountEvents, (id) => this.changedHere(id))
  }

  isWatched(id: string): boolean {
    return this.here.has(id) || this.elsewhere.has(id)
  }

  get ids(): string[] {
    return [...this.here.keys()]
  }

  /** Something of this account has become durable here. */
  changed(id: string): void {
    this.changedHere(id)
    if (this.elsewhere.has(id)) this.hints.send(RUN_HINT.accountEvents, id)
  }

  /** Returns how to leave. */
  watch(id: string): () => void {
    const watchers = this.here.get(id) ?? 0
    this.here.set(id, watchers + 1)
    if (watchers === 0) this.hints.send(RUN_HINT.accountWatched, id)
    this.announcing ??= setInterval(() => this.announce(), ANNOUNCE_MS)
    let hasLeft = false
    return () => {
      if (hasLeft) return
      hasLeft = true
      this.leave(id)
    }
  }

  private leave(id: string): void {
    const watchers = (this.here.get(id) ?? 1) - 1
    if (watchers > 0) this.here.set(id, watchers)
    else this.here.delete(id)
    if (this.here.size > 0) return
    clearInterval(this.announcing)
    this.announcing = undefined
  }

  private announce(): void {
    for (const id of this.here.keys()) this.hints.send(RUN_HINT.accountWatched, id)
  }

  private changedHere(id: string): void {
    if (this.here.has(id)) this.onChange(id)
  }
}
