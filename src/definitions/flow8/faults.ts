import { DomainError } from '../../platform/errors/domain-error.js'
import { pointerOf } from '../../platform/json-pointer.js'

/** Something wrong with a definition, and where. */
export interface LayerFault {
  detail: string
  /** A stable word for programs, such as `unknown_module`. */
  code: string
  /** JSON pointer into the definition, such as `/layers/2/args/url`. */
  path: string
  /** Where in the text there, counted from 0, if an expression does not parse. */
  offset?: number
}

const MOST_TOLD = 1_000

/** Collects the faults of one definition. */
export class LayerFaults {
  private readonly told: LayerFault[] = []
  private untold = 0

  get isEmpty(): boolean {
    return this.told.length === 0
  }

  add(path: string | readonly (string | number)[], code: string, detail: string, offset?: number): void {
    if (this.told.length >= MOST_TOLD) {
      this.untold++
      return
    }
    const pointer = typeof path === 'string' ? path : pointerOf(path.map(String))
    this.told.push({ detail, code, path: pointer, ...(offset !== undefined && { offset }) })
  }

  /** In the order of the layers; those of one layer in the order of their finding. */
  all(): LayerFault[] {
    const faults = this.told.toSorted((one, other) => layerOf(one) - layerOf(other))
    if (this.untold > 0) faults.push({ detail: `and ${this.untold} more faults`, code: 'too_many_faults', path: '' })
    return faults
  }
}

function layerOf({ path }: LayerFault): number {
  const [, index] = /^\/layers\/(\d+)/.exec(path) ?? []
  return index === undefined ? -1 : Number(index)
}

/** A name as messages show it. */
export function quote(name: string): string {
  const shown = name.length > 128 ? `${name.slice(0, 128)}…` : name
  return `'${shown.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/gu, '\uFFFD')}'`
}

/**
 * The faults as an answer to a caller whose request carried the definition, or the part of it at `below`: a request that brings one layer
 * is told of `#/args/url`, and of what it broke elsewhere by the whole path.
 */
export function toDomainError(faults: readonly LayerFault[], below = ''): DomainError {
  const [first] = faults
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : ''
  return new DomainError(
    'unprocessable',
    'validation-error',
    'The request failed validation',
    first ? `The flow is invalid: ${first.detail}${more}` : 'The flow is invalid',
    {
      faults: faults.map(({ path, detail, code, offset }) => ({
        pointer: `#${path === below || path.startsWith(`${below}/`) ? path.slice(below.length) : path}`,
        detail: offset === undefined ? detail : `${detail} (at character ${offset + 1})`,
        code,
      })),
    },
  )
}
