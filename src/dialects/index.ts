import { Dialects } from '../platform/http/dialects.js'
import { facilflow } from './facilflow.js'
import { flow8 } from './flow8.js'
import { flowRunner } from './flowrunner.js'
import { flowsApi } from './flows-api.js'
import { flwd } from './flwd.js'
import { operations } from './operations.js'

/** All five, and our own. A request that reaches no controller is answered in the fullest spelling under its prefix. */
export const dialects = new Dialects(
  [facilflow, flow8, flowsApi, flowRunner, flwd, operations],
  [
    { prefix: '/api/v1', surface: 'flowRunner' },
    { prefix: '/api', surface: 'flow8' },
  ],
)
