import type { Compilation } from '../../definitions/flowrunner/compile.js'
import type { Graph } from '../../engine/graph.js'
import type { Sql, Statement } from '../../platform/database/sql.js'
import { RevisionUnusable } from './flows.errors.js'

/** Graphs that stay in memory; each is as large as its definition. */
const KEPT = 500

const FIND: Statement = {
  name: 'flow_revision_definition',
  text: 'select definition from flow_revision where flow_id = $1 and number = $2',
}

/** The graphs of flow revisions. A revision never changes, so what is compiled once is right for good. */
export class CompiledFlows {
  private readonly kept = new Map<string, Promise<Graph>>()

  constructor(
    private readonly sql: Sql,
    private readonly compile: (definition: string) => Compilation,
  ) {}

  /** Throws when the revision does not exist, or no longer compiles because a step type has gone. */
  get(flowId: string, revision: number): Promise<Graph> {
    const key = `${flowId} ${revision}`
    const known = this.kept.get(key)
    // The map keeps the order of use: what was asked for last stands last.
    this.kept.delete(key)
    const graph = known ?? this.load(flowId, revision)
    this.kept.set(key, graph)
    if (!known) {
      graph.catch(() => this.kept.delete(key))
      if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value as string)
    }
    return graph
  }

  private async load(flowId: string, revision: number): Promise<Graph> {
    const [row] = await this.sql.query<{ definition: string }>(FIND, [flowId, revision])
    if (!row) throw new RevisionUnusable(`flow ${flowId} has no revision ${revision}`)
    const compilation = this.compile(row.definition)
    if (compilation.ok) return compilation.graph
    throw new RevisionUnusable(`the definition is not valid any more: ${compilation.faults[0]?.detail}`)
  }
}
