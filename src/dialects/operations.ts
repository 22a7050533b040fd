import { type Dialect, plainProblem } from '../platform/http/problem.js'
import { statusOfKind } from '../platform/http/statuses.js'

/** What operators ask, which none of the five APIs has: plain problems, and tokens only. */
export const operations: Dialect = {
  surface: 'operations',
  accepts: ['bearer'],
  status: (kind) => statusOfKind[kind],
  problem: plainProblem,
  extensions: {},
}
