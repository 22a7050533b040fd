import { beforeEach, describe, expect, it } from 'vitest'
import { flowRunnerLanguage as language, toDomainError } from '../../definitions/flowrunner/index.js'
import type { Sql } from '../../platform/database/sql.js'
import { CompiledFlows } from './compiled-flows.js'
import type { Reading } from './flow-languages.js'
import { RevisionUnusable } from './flows.errors.js'

const compiled: string[] = []
let flows: CompiledFlows

/** Definitions by flow; `bad` does not compile. */
const definitions = new Map([
  ['small', 's'.repeat(10)],
  ['other', 'o'.repeat(10)],
  ['large', 'l'.repeat(95)],
  ['bad', 'bad'],
])

const sql = {
  query: async (_: unknown, [flowId]: unknown[]) => {
    const definition = definitions.get(flowId as string)
    return definition === undefined ? [] : [{ language: 'flowrunner', definition }]
  },
} as unknown as Sql

function read(_: unknown, definition: string): Reading {
  compiled.push(definition.charAt(0))
  if (definition === 'bad')
    return { ok: false, error: toDomainError([{ detail: 'no', code: 'x', path: '', line: 1, column: 1 }]) }
  return { ok: true, graph: { start: definition, nodes: new Map() } }
}

beforeEach(() => {
  compiled.length = 0
  flows = new CompiledFlows(sql, read, 100)
})

describe('compiled flows', () => {
  it('are compiled once, however many ask at once', async () => {
    const graphs = await Promise.all([flows.get('small', 1), flows.get('small', 1), flows.get('small', 2)])
    expect(graphs[0]).toBe(graphs[1])
    expect(graphs[2]).not.toBe(graphs[0])
    expect(compiled).toEqual(['s', 's'])
  })

  it('are not compiled at all when they were handed in', async () => {
    const flow = { graph: { start: 'a', nodes: new Map() }, language }
    flows.put('small', 1, 'aaa', flow)
    expect(await flows.get('small', 1)).toBe(flow)
    expect(compiled).toEqual([])
  })

  it('let go of those that were not used for longest, by their size', async () => {
    await flows.get('small', 1)
    await flows.get('other', 1)
    await flows.get('small', 1)
    await flows.get('large', 1)
    await flows.get('large', 1)
    expect(compiled).toEqual(['s', 'o', 'l'])
    flows.put('large', 2, 'x'.repeat(200), { graph: { start: 'x', nodes: new Map() }, language })
    await flows.get('large', 1)
    expect(compiled).toEqual(['s', 'o', 'l', 'l'])
    await flows.get('small', 1)
    expect(compiled).toEqual(['s', 'o', 'l', 'l', 's'])
  })

  it('of what is not there or does not compile are refused, and asked for again', async () => {
    await expect(flows.get('gone', 1)).rejects.toThrow(RevisionUnusable)
    for (let round = 0; round < 2; round++)
      await expect(flows.get('bad', 1)).rejects.toThrow('the definition is not valid any more: no')
    expect(compiled).toEqual(['b', 'b'])
  })
})
