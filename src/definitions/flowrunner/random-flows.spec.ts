import { expect, it } from 'vitest'
import { stringify } from 'yaml'
import type { Json } from '../../platform/json.js'
import { fakeStepTypes } from '../step-types.fake.js'
import { compile } from './index.js'

type Random = () => number

/** Numbers of [0, 1) that follow from the seed alone (mulberry32). */
function randomFrom(seed: number): Random {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const words = [
  'start',
  'a b',
  'é',
  '名',
  "it's",
  'x: y',
  '- z',
  'null',
  '1',
  '#h',
  '&a',
  '*b',
  '<<',
  '__proto__',
  'constructor',
  'a/b~c',
  '🎉',
  '{}',
  '"q"',
  '%',
]
/** A plain `<<` would be a merge key, and the library does not quote it. */
const actions = words.filter((word) => word !== '<<')
const pick = <T>(random: Random, choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T
const integer = (random: Random, below: number) => Math.floor(random() * below)

function randomJson(random: Random, depth: number): Json {
  const kind = integer(random, depth > 3 ? 5 : 7)
  if (kind === 0) return null
  if (kind === 1) return random() < 0.5
  if (kind === 2) return integer(random, 2_000_000) - 1_000_000
  if (kind === 3) return random() * 1e6
  if (kind === 4) return pick(random, words) + pick(random, ['', '\n', '\t', ' ', ' ${input.a}', '\\n'])
  if (kind === 5) return Array.from({ length: integer(random, 4) }, () => randomJson(random, depth + 1))
  return Object.fromEntries(
    Array.from({ length: integer(random, 4) }, (_, index) => [
      `${pick(random, words)}${index}`,
      randomJson(random, depth + 1),
    ]),
  )
}

/** Every node but the first is reached from an earlier one; any further edge may lead anywhere but to the first. */
function randomFlow(random: Random) {
  const names = Array.from({ length: 1 + integer(random, 30) }, (_, index) => `${pick(random, words)} ${index}`)
  const edges = new Map<string, Map<string, string>>(names.map((name) => [name, new Map()]))
  for (const [index, name] of names.slice(1).entries()) {
    edges.get(names[integer(random, index + 1)] as string)?.set(`to ${name}`, name)
  }
  for (let extra = integer(random, 10); extra > 0 && names.length > 1; extra--) {
    edges.get(pick(random, names))?.set(pick(random, actions), pick(random, names.slice(1)))
  }
  const nodes = names.map((name) => ({
    name,
    params: { operation: 'set', value: randomJson(random, 0) },
    next: [...(edges.get(name) ?? [])],
  }))
  const shuffled = nodes.map((node) => ({ node, order: random() })).sort((a, b) => a.order - b.order)
  return { start: names[0], nodes: shuffled.map(({ node }) => node) }
}

it('compiles any valid flow, in block style and in flow style, to the nodes and edges that were written', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const flow = randomFlow(randomFrom(seed))
    const document = {
      metadata: { name: `flow ${seed}`, version: '1.0' },
      nodes: new Map(
        flow.nodes.map(({ name, params, next }) => [name, { type: 'store', params, next: new Map(next) }]),
      ),
    }
    for (const collectionStyle of ['block', 'flow'] as const) {
      const text = stringify(document, { collectionStyle, aliasDuplicateObjects: false })
      const compilation = compile(text, fakeStepTypes)
      if (!compilation.ok) throw new Error(`seed ${seed}: ${JSON.stringify(compilation.faults)}\n${text}`)
      expect(compilation.graph.start).toBe(flow.start)
      expect([...compilation.graph.nodes.keys()]).toEqual(flow.nodes.map(({ name }) => name))
      for (const { name, params, next } of flow.nodes) {
        const node = compilation.graph.nodes.get(name)
        expect(Object.entries(node?.next ?? {}).sort()).toEqual(next.sort())
        expect(JSON.parse(JSON.stringify(node?.params))).toEqual(JSON.parse(JSON.stringify(params)))
      }
    }
  }
})
