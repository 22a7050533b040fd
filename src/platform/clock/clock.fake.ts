import type { Clock } from './clock.js'

interface Alarm {
  at: number
  call: () => void
}

/** A clock that stands still until a test moves it. With `hurrying`, every wait is over at once and takes the time with it. */
export class FakeClock implements Clock {
  hurrying = false
  private readonly alarms = new Set<Alarm>()
  private time: number

  constructor(start = '2030-01-01T00:00:00.000Z') {
    this.time = Date.parse(start)
  }

  now(): Date {
    return new Date(this.time)
  }

  at(at: Date, call: () => void): () => void {
    const alarm = { at: at.getTime(), call }
    this.alarms.add(alarm)
    if (this.hurrying || alarm.at <= this.time) setImmediate(() => this.ring(alarm))
    return () => this.alarms.delete(alarm)
  }

  /** Alarms that have not rung. */
  get waiting(): number {
    return this.alarms.size
  }

  advance(ms: number): void {
    const until = this.time + ms
    const due = () => [...this.alarms].filter((alarm) => alarm.at <= until).sort((one, other) => one.at - other.at)[0]
    for (let alarm = due(); alarm; alarm = due()) this.ring(alarm)
    this.time = until
  }

  private ring(alarm: Alarm): void {
    if (!this.alarms.delete(alarm)) return
    this.time = Math.max(this.time, alarm.at)
    alarm.call()
  }
}
