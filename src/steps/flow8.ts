import type { StepType } from '../engine/step.js'
import { aggregator } from './flow8/aggregator.js'
import { arrayFilter } from './flow8/array-filter.js'
import { arrayMap } from './flow8/array-map.js'
import { curl } from './flow8/curl.js'
import { databases } from './flow8/database.js'
import { encodings } from './flow8/encoding.js'
import { enumeration } from './flow8/enumeration.js'
import { iterator } from './flow8/iterator.js'
import { kvSteps } from './flow8/kv.js'
import { regex } from './flow8/regex.js'
import { router } from './flow8/router.js'
import { type SendMailPorts, sendMail } from './flow8/send-mail.js'
import { subflow } from './flow8/subflow.js'
import { template } from './flow8/template.js'
import { variables } from './flow8/variables.js'
import type { FlowKeyValues } from './ports.js'

export interface Flow8StepPorts extends SendMailPorts {
  flowKeyValues: FlowKeyValues
}

/** The modules of flow8's documentation, under their names there. Flows of every language may use them. */
export function flow8Steps({ outbound, flowKeyValues, mailRelay }: Flow8StepPorts): StepType[] {
  return [
    router(),
    iterator(),
    aggregator(),
    enumeration(),
    subflow(),
    curl(outbound),
    ...databases(outbound),
    sendMail({ outbound, mailRelay }),
    variables(),
    template(),
    arrayFilter(),
    arrayMap(),
    ...encodings(),
    regex(),
    ...kvSteps(flowKeyValues),
  ]
}
