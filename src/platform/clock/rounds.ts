/** Work that a process looks for now and then. Its rounds follow one another, and none begins once it was told to end. */
export class Rounds {
  private readonly stopping = new AbortController()
  private timer?: NodeJS.Timeout
  private last = Promise.resolve()

  constructor(
    private readonly everyMs: number,
    /** Does what is due, and leaves the rest once `signal` is aborted. */
    private readonly round: (signal: AbortSignal) => Promise<void>,
    /** Hears of rounds that failed; the next one comes all the same. */
    private readonly onError: (error: unknown) => void,
  ) {}

  /** The first round comes at once. */
  begin(): void {
    void this.look()
    this.timer = setInterval(() => this.look(), this.everyMs)
  }

  /** A round out of turn. Resolves when it is over, whatever became of it. */
  look(): Promise<void> {
    this.last = this.last
      .then(async () => {
        if (!this.stopping.signal.aborted) await this.round(this.stopping.signal)
      })
      .catch(this.onError)
    return this.last
  }

  /** Waits for the round that is under way. */
  async end(): Promise<void> {
    clearInterval(this.timer)
    this.stopping.abort()
    await this.last
  }
}
