import { parseArgs } from 'node:util'

export interface BenchOptions {
  /** A minute or two in all, with less steady figures. */
  short: boolean
  /** Leaves a processor profile of the server beside the figures. */
  profile: boolean
  /** Measures only the sections and workloads whose names hold one of these. */
  only: readonly string[]
  /** The folder of another checkout, already built, that is measured in turns with this one. */
  against?: string
}

export function readOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      short: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      against: { type: 'string' },
    },
  })
  return values
}
