/** What is run over HTTP: one flow, so many times at once. */
export interface Workload {
  name: string
  flow: string
  /** Outcomes that one run leaves. */
  steps: number
  input?: object
  /** Runs in flight, or begun each second; `half load` means begun at half the rate of 256 in flight. */
  load: number | 'half load' | { perSecond: number }
}

const PATHS = 'type: transform, params: { mapping: { n: "$.n" } }'
const SCRIPT = 'type: transform, params: { script: "return { n: input.n + 1 }" }'

export const TWO_LIGHT_STEPS = inARow(2, PATHS)
export const FORTY_LIGHT_STEPS = inARow(40, PATHS)
export const FORTY_SCRIPTS = inARow(40, SCRIPT)

const CARRY = 'type: transform, params: { mapping: { data: "$.data" } }'
const FAN_OUT = `metadata: { name: bench, version: "1" }
nodes:
  n0:
    type: transform
    params: { script: "return Array.from({ length: 1000 }, (_, n) => ({ n }))" }
    next: { default: n1 }
  n1:
    type: transform
    params: { items: "\${input}", mapping: { n: "$.n" } }
    batch: { strategy: worker_pool, max_parallel: 64 }
`

export const WORKLOADS: readonly Workload[] = [
  { name: '2 light steps', flow: TWO_LIGHT_STEPS, steps: 2, load: 64 },
  { name: '2 light steps, more at once', flow: TWO_LIGHT_STEPS, steps: 2, load: 256 },
  // Half of the 1,500 runs per second that are the target.
  { name: '2 light steps, 750 each second', flow: TWO_LIGHT_STEPS, steps: 2, load: { perSecond: 750 } },
  { name: '2 light steps, half load', flow: TWO_LIGHT_STEPS, steps: 2, load: 'half load' },
  { name: '2 scripts', flow: inARow(2, SCRIPT), steps: 2, load: 64 },
  { name: '40 light steps', flow: FORTY_LIGHT_STEPS, steps: 40, load: 64 },
  { name: 'fan-out of 1,000', flow: FAN_OUT, steps: 1_002, load: 8 },
  { name: '20 KiB payloads', flow: inARow(2, CARRY), steps: 2, input: { data: text(20 * 1024) }, load: 64 },
]

/** A flow of so many nodes of one kind in a row. */
function inARow(steps: number, kind: string): string {
  const nodes = Array.from({ length: steps }, (_, index) => {
    const next = index + 1 < steps ? `, next: { default: n${index + 1} }` : ''
    return `  n${index}: { ${kind}${next} }`
  })
  return `metadata: { name: bench, version: "1" }\nnodes:\n${nodes.join('\n')}\n`
}

/** Text that a database compresses about as well as prose. */
function text(length: number): string {
  const words = Array.from({ length: length / 4 }, (_, index) => ((index * 2_654_435_761) % 46_656).toString(36))
  return words.join(' ').slice(0, length)
}
