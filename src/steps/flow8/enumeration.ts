import type { StepType } from '../../engine/step.js'
import { invalidParams } from '../invalid-params.js'
import { MAX_ITEMS } from './limits.js'

/** Counts from one number to another, both included. */
export function enumeration(): StepType {
  return {
    name: 'enumeration',
    title: 'Enumeration',
    category: 'control',
    summary: 'Makes the list of the numbers from one to another.',
    stepClass: 'pure',
    params: PARAMS,
    output: OUTPUT,
    async run({ from, to, step }) {
      return { output: { items: numbers(Number(from), Number(to), step === undefined ? undefined : Number(step)) } }
    },
  }
}

function numbers(from: number, to: number, step = from <= to ? 1 : -1): number[] {
  if (step === 0) throw invalidParams('step must not be 0')
  const steps = (to - from) / step
  if (steps < 0) return []
  // The last number may be missed by what decimal fractions lose in binary.
  const count = Math.floor(steps + 1e-9) + 1
  if (!(count <= MAX_ITEMS)) throw invalidParams(`these are more than ${MAX_ITEMS} numbers`)
  const decimals = Math.max(decimalsOf(from), decimalsOf(step))
  return Array.from({ length: count }, (_, at) => rounded(from + at * step, decimals))
}

function decimalsOf(number: number): number {
  const [digits = '', exponent = '0'] = String(number).split('e')
  return Math.max(0, (digits.split('.')[1]?.length ?? 0) - Number(exponent))
}

/** 0.1 + 2 * 0.1 is 0.3. */
function rounded(number: number, decimals: number): number {
  return decimals > 0 && decimals <= 100 ? Number(number.toFixed(decimals)) : number
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['from', 'to'],
  properties: {
    from: { type: 'number', description: 'The first number.', examples: [1] },
    to: { type: 'number', description: 'The last number, if the steps meet it.', examples: [10] },
    step: {
      type: 'number',
      description: `From one number to the next; 1, or -1 downwards, unless said otherwise. At most ${MAX_ITEMS} numbers.`,
      examples: [2, -1, 0.5],
    },
  },
}

const OUTPUT = {
  type: 'object',
  additionalProperties: false,
  required: ['items'],
  properties: { items: { type: 'array', items: { type: 'number' }, maxItems: MAX_ITEMS, description: 'The numbers.' } },
}
