import { expect, it } from 'vitest'
import type { ValueTexts } from '../values/run-values.js'
import { Spills } from './spills.js'

/** Takes what begins with `large`, when it is told to. */
class Takes {
  private readonly waiting: (() => void)[] = []
  readonly asked: string[] = []

  hasLarge(values: ValueTexts): boolean {
    return values.output?.startsWith('large') ?? false
  }

  async spilled(tenantId: string, values: ValueTexts): Promise<ValueTexts> {
    this.asked.push(`${tenantId} ${values.output}`)
    await new Promise<void>((resolve) => this.waiting.push(resolve))
    return { output_ref: `ref of ${values.output}` }
  }

  next(): void {
    this.waiting.shift()?.()
  }
}

function handOnTo(order: string[]) {
  return (spills: Spills, runId: string, output: string, tenantId?: string) =>
    spills.inOrder(runId, tenantId, { output }, async (values) => {
      order.push(`${runId} ${values.output ?? values.output_ref}`)
    })
}

it('hands on at once what is small, or nobody’s', () => {
  const order: string[] = []
  const hand = handOnTo(order)
  const spills = new Spills(new Takes())
  void hand(spills, 'a', 'small', 't')
  void hand(spills, 'a', 'large but nobody’s')
  void handOnTo(order)(new Spills(), 'a', 'large without a store', 't')
  expect(order).toEqual(['a small', 'a large but nobody’s', 'a large without a store'])
  expect(spills.holds('a')).toBe(false)
})

it('keeps the records of a run in their order, puts their values together, and holds up no other run', async () => {
  const order: string[] = []
  const hand = handOnTo(order)
  const takes = new Takes()
  const spills = new Spills(takes)
  const all = [
    hand(spills, 'a', 'large 1', 't'),
    hand(spills, 'a', 'small', 't'),
    hand(spills, 'a', 'large 2', 't'),
    hand(spills, 'a', 'no tenant'),
    hand(spills, 'b', 'small', 't'),
  ]
  expect(order).toEqual(['b small'])
  expect(takes.asked).toEqual(['t large 1', 't large 2'])
  expect(spills.holds('a')).toBe(true)
  expect(spills.chars).toBe('large 1smalllarge 2no tenant'.length)
  takes.next()
  await all[1]
  expect(order).toEqual(['b small', 'a ref of large 1', 'a small'])
  takes.next()
  await Promise.all(all)
  expect(order.slice(3)).toEqual(['a ref of large 2', 'a no tenant'])
  await spills.settled()
  expect(spills.holds('a')).toBe(false)
  expect(spills.chars).toBe(0)
})
