import type { JsonObject } from '../platform/json.js'
import type { GraphNode } from './graph.js'
import { Parked, type StepOutcome } from './host.js'
import { Interruption } from './interruption.js'
import { errorOf, failed, succeeded } from './outcomes.js'
import { ancestorsOf, blockedBranches, passed, stateOf } from './routing.js'
import type { RunMemory } from './run-memory.js'
import type { StepRegistry } from './step.js'
import type { Workbench } from './workbench.js'

/** A visit to a stage, and how its branches are settled. */
export interface StageOf {
  node: GraphNode
  path: string
  /** Of its branches by name. */
  paths: ReadonlyMap<string, string>
  registry: StepRegistry
  /** Does the work of a branch that knows this much, or tells what the journal has of it. */
  settle(branch: GraphNode, path: string, memory: RunMemory): Promise<StepOutcome>
  /** Settles a branch as skipped, or tells what the journal has of it. */
  skip(branch: GraphNode, path: string): StepOutcome
}

/**
 * One visit to nodes side by side. Each begins once all that it needs are settled well, in the order of their declaration where not all
 * may be at work at the same time; one that waits outside memory holds no place. It sees what was known before the stage, and what those
 * put out that it needs. All of them come to an end, or to a wait outside memory, before the way goes on: one that fails stops no other,
 * but what needs it is skipped. The stage itself leaves no outcome, since it follows from theirs.
 */
export class StageVisit {
  private readonly branches: readonly GraphNode[]
  private readonly outcomes = new Map<string, StepOutcome>()
  /** Those that have begun or are skipped. */
  private readonly met = new Set<string>()
  private readonly waits: unknown[] = []
  private atWork = 0
  private interruption?: { reason: unknown }
  private wake = () => {}

  constructor(
    private readonly bench: Workbench,
    private readonly of: StageOf,
  ) {
    this.branches = of.node.branches ?? []
  }

  async run(): Promise<StepOutcome> {
    const startedAt = this.now
    for (;;) {
      const settled = new Promise<void>((resolve) => {
        this.wake = resolve
      })
      this.beginWhatCan()
      if (this.atWork === 0) break
      await settled
    }
    if (this.interruption) throw this.interruption.reason
    return this.outcome(startedAt)
  }

  private beginWhatCan(): void {
    if (this.interruption) return
    for (const branch of blockedBranches(this.branches, this.outcomes))
      if (!this.met.has(branch.name)) {
        this.met.add(branch.name)
        this.outcomes.set(branch.name, this.of.skip(branch, this.pathOf(branch)))
      }
    const most = this.of.node.maxParallel ?? Number.POSITIVE_INFINITY
    for (const branch of this.branches) {
      if (this.atWork >= most) return
      if (!this.met.has(branch.name) && (branch.needs ?? []).every((name) => this.outcomes.has(name)))
        void this.begin(branch)
    }
  }

  private async begin(branch: GraphNode): Promise<void> {
    this.met.add(branch.name)
    this.atWork++
    try {
      this.outcomes.set(branch.name, await this.of.settle(branch, this.pathOf(branch), this.memoryOf(branch)))
    } catch (reason) {
      if (reason instanceof Interruption && reason.cause instanceof Parked) this.waits.push(reason)
      else this.interruption ??= { reason }
    } finally {
      this.atWork--
      this.wake()
    }
  }

  /** What a branch goes on from: of its neighbours only those that it needs, whichever else have come to their end meanwhile. */
  private memoryOf(branch: GraphNode): RunMemory {
    const { memory } = this.bench
    const { needs = [] } = branch
    if (needs.length === 0) return memory
    const known = memory.round()
    const ancestors = ancestorsOf(branch, this.branches)
    for (const other of this.branches) if (ancestors.has(other.name)) this.remember(known, other)
    if (needs.length > 1) known.put(this.outputs(this.branches.filter(({ name }) => needs.includes(name))))
    else known.put(this.outcomes.get(needs[0] as string)?.output ?? null)
    return known
  }

  private outcome(startedAt: Date): StepOutcome {
    const { node, path } = this.of
    const begun = { node, path, attempt: 1, startedAt }
    for (const branch of this.branches) {
      const outcome = this.outcomes.get(branch.name)
      if (outcome && !passed(branch, outcome)) return failed(begun, errorOf(outcome), outcome.action, this.now)
      this.remember(this.bench.memory, branch)
    }
    if (this.waits.length > 0) throw this.waits[0]
    const unmet = this.branches.find(({ name }) => !this.met.has(name))
    if (unmet) {
      const message = `node '${unmet.name}' needs what never comes`
      return failed(begun, { message, code: 'unmet_need', node: unmet.name, nodeType: unmet.type }, undefined, this.now)
    }
    return succeeded(begun, { output: this.outputs(this.branches) }, this.now)
  }

  private remember(memory: RunMemory, branch: GraphNode): void {
    const outcome = this.outcomes.get(branch.name)
    if (outcome) memory.remember(outcome, stateOf(branch, outcome), this.of.registry.get(branch.type)?.sharedAs)
  }

  private outputs(branches: readonly GraphNode[]): JsonObject {
    return Object.fromEntries(branches.map(({ name }) => [name, this.outcomes.get(name)?.output ?? null]))
  }

  private pathOf({ name }: GraphNode): string {
    return this.of.paths.get(name) as string
  }

  private get now(): Date {
    return this.bench.host.clock.now()
  }
}
