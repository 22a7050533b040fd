/** Places where a process can be made to end as by `kill -9`: between two things of which a crash may leave one. */
export const CRASH_POINTS = [
  'accept-before-commit',
  'accept-after-commit',
  'effect-before-journal',
  'mid-flush',
  'commit-before-resolve',
  'outbox-before-queue',
  'timer',
  'slot',
  'takeover',
  'cancel',
  'schedule',
  'finish',
] as const

export type CrashPoint = (typeof CRASH_POINTS)[number]

export interface Armed {
  point: string
  /** Passages left; at the last the process ends. */
  passages: number
}

/**
 * `CRASH_AT=mid-flush:3` ends the process at the third passage of that place, in tests only. Read here and not with the configuration,
 * because no operator has a use for it.
 */
export function armedBy({ NODE_ENV, CRASH_AT }: Readonly<Record<string, string | undefined>>): Armed | undefined {
  if (NODE_ENV !== 'test' || !CRASH_AT) return undefined
  const [point = '', passages = '1'] = CRASH_AT.split(':')
  return { point, passages: Number(passages) }
}

const armed = armedBy(process.env)

/** A place that the process can be made to end at; passing it costs a comparison. */
export function crashPoint(name: CrashPoint): void {
  if (armed?.point === name && --armed.passages === 0) process.kill(process.pid, 'SIGKILL')
}
