import { Injectable } from '@nestjs/common'
import type { Graph } from '../../../engine/graph.js'
import { type Settled, type Visit, walkOf } from '../../../engine/walk.js'
import { Sql, type Statement } from '../../../platform/database/sql.js'
import type { Json } from '../../../platform/json.js'
import { FlowsService } from '../../flows/flows.service.js'
import type { RunPlacement } from '../dispatch/run-placement.js'
import type { RunState } from '../run-state.js'

/** A run that another is to go on from. */
export interface EarlierRun {
  id: string
  tenantId: string
  flowId: string
  revision: number
  state: RunState
  startNode?: string
  input: Json
  /** Where the input is, if it is too large for the row. */
  inputRef?: string
  placement: RunPlacement
  keyBase?: string
}

/** What a run that starts again is given of the earlier one's work. */
export interface StartingPoint {
  /** The visits whose outcomes it has from the beginning. */
  visits: string[]
  /** The visit where it goes on with what is done of it: the items of a batch that succeeded. Absent: it does all of that visit anew. */
  goesOnAt?: string
}

/** How far runs came. */
@Injectable()
export class StartingPoints {
  constructor(
    private readonly sql: Sql,
    private readonly flows: FlowsService,
  ) {}

  async earlier(accountId: string, id: string): Promise<EarlierRun | undefined> {
    const [row] = await this.sql.query<EarlierRow>(FIND, [id, accountId])
    return (
      row && {
        id,
        tenantId: row.tenant_id,
        flowId: row.flow_id,
        revision: row.revision,
        state: row.state,
        startNode: row.start_node ?? undefined,
        input: row.input,
        inputRef: row.input_ref ?? undefined,
        placement: {
          priority: row.priority,
          tag: row.tag,
          ...(row.concurrency_key !== null && {
            concurrency: { key: row.concurrency_key, limit: row.concurrency_limit },
          }),
        },
        keyBase: row.key_base ?? undefined,
      }
    )
  }

  /** The way that a run went. Throws `RevisionUnusable` when its revision is not valid any more. */
  async walk(run: EarlierRun): Promise<Visit[]> {
    const graph: Graph = await this.flows.graph(run.flowId, run.revision)
    const rows = await this.sql.query<{ path: string } & Settled>(SETTLED, [run.id])
    return walkOf(graph, run.startNode, new Map(rows.map((row) => [row.path, row])))
  }

  /**
   * Where the run failed or was stopped. Failures that the flow itself went on from are part of the way there; the one that ended it is
   * not.
   */
  async ofFailure(run: EarlierRun): Promise<StartingPoint> {
    const walk = await this.walk(run)
    const isOpen = ({ leadsOn, outcome, blocked }: Visit) => !leadsOn && (blocked || outcome?.state !== 'succeeded')
    const visits = walk.filter((visit) => !isOpen(visit)).map(({ path }) => path)
    return { visits, goesOnAt: walk.find((visit) => isOpen(visit) && !visit.blocked)?.path }
  }
}

interface EarlierRow {
  tenant_id: string
  flow_id: string
  revision: number
  state: RunState
  start_node: string | null
  input: Json
  input_ref: string | null
  priority: number
  tag: string
  concurrency_key: string | null
  concurrency_limit: number
  key_base: string | null
}

const FIND: Statement = {
  name: 'run_earlier',
  text: `select tenant_id, flow_id, revision, state, start_node, input, input_ref, priority, tag, concurrency_key,
      concurrency_limit, key_base
    from run where id = $1 and account_id = $2`,
}

/** Without what the steps produced, and without the items of batches. */
const SETTLED: Statement = {
  name: 'run_settled',
  text: `select path, state, action from step_outcome
    where run_id = $1 and state <> 'retrying' and right(path, 1) <> ']'`,
}
