/** What a process asks for of one key's minute. */
export interface Wish {
  key: string
  /** Minutes since the epoch, by the clock of the process. */
  minute: number
  /** The most that all processes together may take of that minute. */
  limit: number
  /** At least 1. */
  wanted: number
  /** What has been taken already as far as the process knows; less than `limit`. A store that has forgotten learns it from that. */
  known: number
}

export interface Share {
  /** 0 to `wanted`. */
  granted: number
  /** By all processes, this share included. */
  taken: number
}

/** Where processes take shares of what may be done in a minute: no two get the same, and all together never more than the limit. */
export interface RateShares {
  /** Shown in messages. */
  readonly name: string
  /** In the order of the wishes, which name each key and minute once. */
  take(wishes: readonly Wish[]): Promise<Share[]>
  /** Forgets the minutes before this one. */
  forget(minute: number): Promise<void>
  close(): Promise<void>
}

/** What is granted where so much has been taken, to a process that knows of so much. */
export function shareOf({ limit, wanted, known }: Wish, taken: number): Share {
  const before = Math.max(taken, known)
  const granted = Math.max(0, Math.min(wanted, limit - before))
  return { granted, taken: before + granted }
}
