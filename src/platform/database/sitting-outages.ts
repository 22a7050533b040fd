import { setTimeout as delay } from 'node:timers/promises'
import { isDatabaseGone } from './database-is-gone.js'

const PAUSE_MS = 250
const PATIENCE_MS = 60_000

/**
 * Does what a process needs of the database before it can serve. Where the database goes away in the middle, it is begun again: a process that
 * starts into a restart of its database need not end for that. `work` has to bear being done twice.
 */
export async function sittingOutages<T>(work: () => Promise<T>, patienceMs = PATIENCE_MS): Promise<T> {
  for (const until = Date.now() + patienceMs; ; ) {
    try {
      return await work()
    } catch (error) {
      if (!isDatabaseGone(error) || Date.now() >= until) throw error
      await delay(PAUSE_MS)
    }
  }
}
