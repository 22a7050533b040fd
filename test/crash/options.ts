import { parseArgs } from 'node:util'
import { FAULTS, type FaultName } from './fault-log.js'

export interface Options {
  kills: number
  seed: number
  /** With Redis, without, or both by turns. */
  redis: 'with' | 'without' | 'both'
  /** Users who ask at the same time. */
  users: number
  /** The faults to inflict; all of them without it. */
  faults?: FaultName[]
  /** Where the evidence goes; a temporary folder without it. */
  folder?: string
}

const USAGE = `npm run crash -- [options]
  --kills N      processes to kill (50)
  --seed N       repeats what chance decided (another each time)
  --redis        only with Redis;  --no-redis  only without (both by turns, where redis-server is installed)
  --faults A,B   only these, and no crash points: ${FAULTS.join(', ')}
  --users N      users who ask at the same time (12)
  --folder PATH  keep what was written down there, also when all is well`

/** Ends the process, with the usage, where the arguments cannot be understood. */
export function optionsFrom(args: readonly string[], hasRedis: boolean): Options {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        kills: { type: 'string', default: '50' },
        seed: { type: 'string', default: String(Date.now() % 1_000_000) },
        redis: { type: 'boolean' },
        users: { type: 'string', default: '12' },
        faults: { type: 'string' },
        folder: { type: 'string' },
      },
      allowNegative: true,
    })
    const both = hasRedis ? 'both' : 'without'
    return {
      kills: whole('kills', values.kills),
      seed: whole('seed', values.seed),
      redis: values.redis === undefined ? both : values.redis ? 'with' : 'without',
      users: whole('users', values.users),
      faults: values.faults?.split(',').map(faultNamed),
      folder: values.folder,
    }
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`)
    process.exit(2)
  }
}

function whole(name: string, text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`--${name} must be a whole number, not ${text}`)
  return Number(text)
}

function faultNamed(text: string): FaultName {
  const found = FAULTS.find((name) => name === text.trim())
  if (!found) throw new Error(`there is no fault ${text}`)
  return found
}
