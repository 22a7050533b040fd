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
  point: CrashPoint
  /** Passages left; at the last the process ends. */
  passages: number
}

let armed: Armed | undefined

/** Makes this process end at a place, as the configuration of a test wants it (`CRASH_AT`). */
export function armCrashPoint(at: Readonly<Armed> | undefined): void {
  armed = at && { ...at }
}

/** A place that the process can be made to end at; passing it costs a comparison. */
export function crashPoint(name: CrashPoint): void {
  if (armed?.point === name && --armed.passages === 0) process.kill(process.pid, 'SIGKILL')
}
