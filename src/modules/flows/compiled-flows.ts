import type { Graph } from '../../engine/graph.js'
import type { Language } from '../../engine/language.js'
import type { Sql, Statement } from '../../platform/database/sql.js'
import { LANGUAGES, type Reading } from './flow-languages.js'
import type { FlowLanguage } from './flow-revision.entity.js'
import { RevisionUnusable } from './flows.errors.js'

/** Characters of the definitions whose graphs stay in memory, where they take some twenty times as many bytes. */
const KEPT_CHARS = 8 * 1024 * 1024

const FIND: Statement = {
  name: 'flow_revision_definition',
  text: 'select language, definition from flow_revision where flow_id = $1 and number = $2',
}

/** A revision as the engine runs it. */
export interface CompiledFlow {
  graph: Graph
  language: Language
}

interface Kept {
  flow: Promise<CompiledFlow>
  chars: number
}

/** The graphs of flow revisions. A revision never changes, so what is compiled once is right for good. */
export class CompiledFlows {
  /** In the order of use: what was asked for last stands last. */
  private readonly kept = new Map<string, Kept>()
  private chars = 0

  constructor(
    private readonly sql: Sql,
    private readonly read: (language: FlowLanguage, definition: string) => Reading,
    private readonly keptChars = KEPT_CHARS,
  ) {}

  /** Throws when the revision does not exist, or no longer compiles because a step type has gone. */
  get(flowId: string, revision: number): Promise<CompiledFlow> {
    const key = `${flowId} ${revision}`
    const known = this.kept.get(key)
    if (!known) return this.load(key, flowId, revision)
    this.kept.delete(key)
    this.kept.set(key, known)
    return known.flow
  }

  /** Spares the first run the compiling of what has just been checked. */
  put(flowId: string, revision: number, definition: string, flow: CompiledFlow): void {
    const key = `${flowId} ${revision}`
    this.forget(key)
    this.kept.set(key, { flow: Promise.resolve(flow), chars: 0 })
    this.weigh(key, definition)
  }

  private load(key: string, flowId: string, revision: number): Promise<CompiledFlow> {
    const flow = this.fetch(flowId, revision, (definition) => this.weigh(key, definition))
    this.kept.set(key, { flow, chars: 0 })
    flow.catch(() => this.forget(key))
    return flow
  }

  private async fetch(flowId: string, revision: number, onRead: (definition: string) => void): Promise<CompiledFlow> {
    const [row] = await this.sql.query<{ language: FlowLanguage; definition: string }>(FIND, [flowId, revision])
    if (!row) throw new RevisionUnusable(`flow ${flowId} has no revision ${revision}`)
    const reading = this.read(row.language, row.definition)
    if (!reading.ok) {
      const [fault] = reading.error.faults ?? []
      throw new RevisionUnusable(`the definition is not valid any more: ${fault?.detail ?? reading.error.message}`)
    }
    onRead(row.definition)
    return { graph: reading.graph, language: LANGUAGES[row.language].engine }
  }

  /** Counts what is kept now, and lets go of what was not asked for longest. */
  private weigh(key: string, { length }: string): void {
    const kept = this.kept.get(key)
    if (!kept || kept.chars > 0) return
    kept.chars = length
    this.chars += length
    for (const oldest of this.kept.keys()) {
      if (this.chars <= this.keptChars) return
      this.forget(oldest)
    }
  }

  private forget(key: string): void {
    this.chars -= this.kept.get(key)?.chars ?? 0
    this.kept.delete(key)
  }
}
