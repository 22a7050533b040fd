import { type ChildWait, Parked, type StepOutcome, type StepPlace } from '../../../engine/host.js'
import type { ChildEnd, ChildRequest, ChildStart } from '../../../engine/step.js'
import type { Writer } from '../journal/records.js'
import { isFinal } from '../run-state.js'
import type { TakenRun } from '../worker/taken-run.js'
import type { ChildRuns } from './child-runs.js'

/** A child that ends within this time is waited for in memory; for any other the run is unloaded. */
const PARK_AFTER_MS = 2_000
/** How often a child that another process works on is looked at. */
const LOOK_MS = 500

export interface RunChildrenParts {
  children: ChildRuns
  owner: Writer
  /** Aborted when the run is not worked on any more. */
  signal: AbortSignal
  /** False where others wait for the place that this run has in memory. */
  hasRoom(): boolean
  /** There is a run to take up, by whoever takes its tag. */
  onStarted(child: { id: string; tag: string }): void
  /** These runs were cancelled. */
  onCancelled(runIds: readonly string[]): void
}

/** The children of one run while this process interprets it. */
export class RunChildren {
  private known?: Promise<Map<string, string>>
  /** Those that were there before this process took the run: they were waited for long enough. */
  private readonly old = new Set<string>()
  private used = false

  constructor(
    private readonly run: TakenRun,
    private readonly parts: RunChildrenParts,
  ) {}

  async start(request: ChildRequest & StepPlace): Promise<ChildStart> {
    this.used = true
    this.known ??= this.load()
    const known = (await this.known).get(placeOf(request))
    if (known !== undefined) return { id: known }
    const { children, owner, signal } = this.parts
    const started = await children.start(this.run, owner, request, signal)
    if ('refusal' in started) return started
    if (started.isNew) this.parts.onStarted(started)
    return { id: started.id }
  }

  /** The run that is parked for it is to be taken up again at its deadline, where it has one. */
  async end(wait: ChildWait, signal: AbortSignal, wakeAt: (deadline: Date) => void): Promise<ChildEnd> {
    const { children } = this.parts
    const parkAt = performance.now() + (this.old.has(wait.id) ? 0 : PARK_AFTER_MS)
    for (;;) {
      const child = await children.state(wait.id)
      if (child === undefined || isFinal(child.state)) return await children.end(this.run, wait.id)
      const deadline = wait.withinMs === undefined ? undefined : new Date(child.created_at.getTime() + wait.withinMs)
      const untilDeadline = deadline ? children.timeUntil(deadline) : Number.POSITIVE_INFINITY
      if (untilDeadline <= 0) return { state: 'overdue' }
      const left = parkAt - performance.now()
      if (wait.mayPark && (left <= 0 || !this.parts.hasRoom())) {
        if (deadline) wakeAt(deadline)
        throw new Parked()
      }
      await children.endOrTimeout(wait.id, Math.min(LOOK_MS, untilDeadline, wait.mayPark ? left : LOOK_MS), signal)
    }
  }

  /** A step has an outcome, which is durable: of one that failed nobody waits for the children any more. */
  async settled({ path, attempt, state }: StepOutcome): Promise<void> {
    if (!this.used || state === 'succeeded') return
    const cancelled = await this.parts.children.forsake(this.run, { path, attempt })
    if (cancelled.length > 0) this.parts.onCancelled(cancelled)
  }

  private async load(): Promise<Map<string, string>> {
    const children = await this.parts.children.unsettled(this.run.id)
    for (const { id } of children) this.old.add(id)
    return new Map(children.map((child) => [placeOf(child), child.id]))
  }
}

function placeOf({ path, attempt }: StepPlace): string {
  return `${attempt} ${path}`
}
