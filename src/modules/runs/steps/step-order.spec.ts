import { describe, expect, it } from 'vitest'
import { StepOrder } from './step-order.js'

const order = new StepOrder(['first', 'each', 'a', 'in.ner', 'last'])
const sorted = (paths: string[]) => order.sorted(paths.map((path) => ({ node: '', path }))).map(({ path }) => path)

describe('visits', () => {
  it('stand in the order of the flow, rounds in the loop that they are of', () => {
    const paths = ['last', 'each[10].a', 'each', 'each[2].in%2Ener', 'each[2].a', 'first', 'each[0].a']
    expect(sorted(paths)).toEqual(['first', 'each', 'each[0].a', 'each[2].a', 'each[2].in%2Ener', 'each[10].a', 'last'])
  })

  it('of the same node stand in the order of their coming, and what the flow does not have stands last', () => {
    expect(sorted(['gone', 'a#10', 'a#2', 'a', 'last'])).toEqual(['a', 'a#2', 'a#10', 'last', 'gone'])
  })

  it('stand before the place of a node that was not visited and comes later', () => {
    const steps = [
      { node: 'last' },
      { node: 'a' },
      { node: 'each', path: 'each' },
      { node: 'in.ner', path: 'each[0].in%2Ener' },
    ]
    expect(order.sorted(steps).map(({ node }) => node)).toEqual(['each', 'in.ner', 'a', 'last'])
  })
})
