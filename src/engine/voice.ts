import type { JsonObject } from '../platform/json.js'
import type { GraphNode } from './graph.js'
import type { Host, StepOutcome } from './host.js'
import type { NodeState } from './language.js'
import { errorOf } from './outcomes.js'
import { plainJson, plainText } from './plain.js'
import type { LogLevel } from './step.js'

/** Who speaks, in a log line. */
export type Speaker = Pick<GraphNode, 'name' | 'type'>

/** Tells a run's watchers what goes on, masked; and nothing more once the run is stopped or over. */
export class Voice {
  private silenced = false

  constructor(
    private readonly host: Host,
    private readonly signal: AbortSignal,
  ) {}

  silence(): void {
    this.silenced = true
  }

  started(node: Speaker, path: string): void {
    if (this.heard) this.host.emit({ type: 'node_started', node: node.name, nodeType: node.type, path, at: this.now() })
  }

  waiting(node: Speaker, path: string): void {
    if (this.heard) this.host.emit({ type: 'node_waiting', node: node.name, nodeType: node.type, path, at: this.now() })
  }

  completed(outcome: StepOutcome, state: NodeState): void {
    if (!this.heard) return
    this.host.emit({
      type: 'node_completed',
      node: outcome.node,
      nodeType: outcome.nodeType,
      path: outcome.path,
      attempt: outcome.attempt,
      result: outcome.output ?? null,
      ...((state === 'filtered' || state === 'skipped') && { state }),
      at: outcome.finishedAt,
    })
  }

  failed(outcome: StepOutcome, level: LogLevel): void {
    const { node, nodeType, path, attempt, finishedAt: at } = outcome
    const { message, output } = errorOf(outcome)
    const put = output === undefined ? {} : { output }
    if (this.heard) this.host.emit({ type: 'node_failed', node, nodeType, path, attempt, message, ...put, at })
    this.log({ name: node, type: nodeType }, level, message)
  }

  log(speaker: Speaker | undefined, level: LogLevel, message: string, data?: JsonObject): void {
    if (this.heard) this.host.emit(this.line(speaker, level, message, data))
  }

  /** What a step says, or its script. */
  quote(speaker: Speaker, level: LogLevel, message: string, data?: JsonObject): void {
    if (this.heard) this.host.emit({ ...this.line(speaker, level, message, data), quoted: true })
  }

  private line(speaker: Speaker | undefined, level: LogLevel, message: string, data?: JsonObject) {
    return {
      type: 'log' as const,
      level,
      message: this.host.mask(plainText(message)),
      node: speaker?.name,
      nodeType: speaker?.type,
      data: data && (this.host.mask(plainJson(data)) as JsonObject),
      at: this.now(),
    }
  }

  private get heard(): boolean {
    return !this.silenced && !this.signal.aborted
  }

  private now(): Date {
    return this.host.clock.now()
  }
}
