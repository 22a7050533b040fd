import { describe, expect, it } from 'vitest'
import { ArrayField, StringField } from '../openapi/fields.js'
import { ValidationFailed } from './faults.js'
import { InputPipe } from './validation.pipe.js'

class Part {
  @StringField({ description: 'Its name.', example: 'a' })
  name: string
}

class Box {
  @ArrayField({ of: () => Part, description: 'What is in it.', maxItems: 20_000 })
  parts: Part[]
}

async function faultsOf(body: object, type: new () => object) {
  try {
    await new InputPipe().transform(body, { type: 'body', metatype: type })
    return []
  } catch (error) {
    if (error instanceof ValidationFailed) return error.faults
    throw error
  }
}

const members = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 1]))

describe('a body of very many members', () => {
  it('that are not known is refused soon, and told a thousand of its faults', async () => {
    const begun = performance.now()
    const faults = await faultsOf({ name: 'a', ...members(70_000) }, Part)
    // Comparing each name with all others took twenty seconds.
    expect(performance.now() - begun).toBeLessThan(10_000)
    expect(faults).toHaveLength(1_001)
    expect(faults[0]).toEqual({ pointer: '#/k0', detail: "'k0' is not known here", code: 'unknown_member' })
    expect(faults.at(-1)).toEqual({ pointer: '#', detail: 'and 69000 more faults', code: 'too_many_faults' })
  })

  it('is refused as a whole where it holds more objects than are checked one by one', async () => {
    const parts = Array.from({ length: 10_000 }, () => ({}))
    const told = await faultsOf({ parts }, Box)
    expect(told).toEqual([expect.objectContaining({ pointer: '#', code: 'too_many' })])
    // Lists and scalars stand for objects there, too.
    expect(await faultsOf({ parts: parts.map(() => 1) }, Box)).toEqual(told)
    expect(await faultsOf({ parts: parts.slice(0, 3) }, Box)).toHaveLength(3)
  })
})
