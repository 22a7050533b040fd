import { type Dialect, plainProblem } from '../platform/http/problem.js'
import { statusOfKind } from '../platform/http/statuses.js'

/** Flows API: the plain problem, nothing added. */
export const flowsApi: Dialect = {
  surface: 'flowsApi',
  accepts: ['bearer'],
  status: (kind) => statusOfKind[kind],
  problem: plainProblem,
  extensions: {},
}
