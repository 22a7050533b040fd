import { describe, expect, it } from 'vitest'
import { fakeStepTypes } from '../step-types.fake.js'
import { compile, type DefinitionFault } from './index.js'

const MiB = 1_048_576

function faultsOf(definition: string, limits = {}): DefinitionFault[] {
  const compilation = compile(definition, fakeStepTypes, { limits })
  return compilation.ok ? [] : compilation.faults
}

function codesOf(definition: string): string[] {
  return [...new Set(faultsOf(definition).map(({ code }) => code))]
}

/** A text of nearly the greatest size. */
function filledWith(part: string, before = '', after = ''): string {
  return before + part.repeat(Math.floor((MiB - before.length - after.length) / part.length)) + after
}

function inFlow(value: string): string {
  return `metadata: {name: t}\nnodes:\n  a: {type: store, params: {operation: set, value: ${value}}}`
}

function chain(count: number): string {
  const nodes = Array.from({ length: count }, (_, index) => {
    const next = index + 1 < count ? `\n    next:\n      default: n${index + 1}` : ''
    return `  n${index}:\n    type: transform\n    params:\n      script: return input${next}\n`
  })
  return `metadata:\n  name: long\nnodes:\n${nodes.join('')}`
}

describe('a text of one mebibyte', () => {
  it.each([
    ['brackets', filledWith('[')],
    ['braces', filledWith('{')],
    ['nested sequences', filledWith('- ')],
    ['nested keys', filledWith('? ')],
    ['nested values', filledWith(': ')],
    ['nested mappings on a line', filledWith('a: b: ')],
    ['nested flow mappings', filledWith('a: ', '{')],
    ['steps', Array.from({ length: 1400 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n')],
  ])('is left where it becomes too deep: %s', (_, text) => {
    const [fault, ...others] = faultsOf(text)
    expect(fault?.code).toBe('too_deep')
    expect((fault?.line ?? 0) * (fault?.column ?? 0), 'noticed early').toBeLessThan(110 * 110)
    expect(others).toEqual([])
  })

  it.each([
    ['commas', filledWith(',', '[', ']')],
    ['short items', filledWith('a,', '[', ']')],
    ['blank lines', filledWith('\n')],
    ['comments', filledWith('#\n')],
    ['keys', Array.from({ length: 100_000 }, (_, index) => `k${index}: 1\n`).join('')],
    ['one key again and again', filledWith('a: 1\n')],
    ['anchors', filledWith('- &a\n')],
    ['aliases', filledWith('- *a\n', '- &a 1\n')],
  ])('is left where it has too many tokens: %s', (_, text) => {
    expect(faultsOf(text)).toMatchObject([
      { code: 'too_complex', detail: 'a flow definition may have at most 600000 YAML tokens' },
    ])
  })

  it.each([
    ['closing brackets', filledWith(']')],
    ['pairs of brackets', filledWith('[]')],
    ['properties', filledWith('&a ', 'a: ')],
    ['strings', filledWith('""')],
    ['quotes that never end', filledWith("'a\n")],
  ])('is left after the first errors: %s', (_, text) => {
    const faults = faultsOf(text)
    expect(faults.length).toBeGreaterThan(0)
    expect(faults.length).toBeLessThanOrEqual(20)
    for (const { code, detail } of faults)
      expect(`${code} ${detail}`).toMatch(/^(invalid_yaml invalid YAML: |too_complex )/)
  })

  it('is refused unread when it is longer', () => {
    expect(faultsOf(`${filledWith('#')}##`)).toEqual([
      { code: 'too_large', detail: 'a flow definition may have at most 1048576 bytes', path: '', line: 1, column: 1 },
    ])
    expect(codesOf('ä'.repeat(MiB / 2 + 1)), 'bytes, not characters').toEqual(['too_large'])
  })
})

describe('aliases', () => {
  it('that unfold into billions of values are refused unfolded', () => {
    const letters = [...'abcdefghijklmnop']
    const lines = letters.map((letter, index) => {
      const items =
        index === 0
          ? '1,1,1,1,1,1,1,1,1'
          : Array(9)
              .fill(`*${letters[index - 1]}`)
              .join(',')
      return `x-${letter}: &${letter} [${items}]`
    })
    const [fault, ...others] = faultsOf(lines.join('\n'))
    expect(fault).toMatchObject({ code: 'too_complex', line: 6 })
    expect(others).toEqual([])
  })

  it('that unfold into billions of merged members are refused unfolded', () => {
    const lines = ['x-0: &m0 {a: 1, b: 2, c: 3}']
    for (let index = 1; index < 40; index++) {
      const before = `*m${index - 1}`
      lines.push(`x-${index}: &m${index} {k${index}a: ${before}, k${index}b: ${before}, <<: ${before}}`)
    }
    expect(faultsOf(lines.join('\n'))).toMatchObject([{ code: 'too_complex' }])
  })

  it('that reach too deep together are refused', () => {
    const lines = ['x-0: &m0 [1]']
    for (let index = 1; index < 200; index++) lines.push(`x-${index}: &m${index} [*m${index - 1}]`)
    expect(faultsOf(lines.join('\n'))).toMatchObject([{ code: 'too_deep', line: 100 }])
  })

  it('of themselves are refused', () => {
    expect(faultsOf('x-a: &a [1, *a]')).toContainEqual({
      code: 'invalid_yaml',
      detail: "invalid YAML: the alias '*a' stands inside its own anchor",
      path: '/x-a/1',
      line: 1,
      column: 13,
    })
    expect(codesOf('x-a: &a {<<: *a}')).toContain('invalid_yaml')
  })

  it('without an anchor are refused', () => {
    expect(faultsOf(inFlow('*nobody'))).toEqual([
      {
        code: 'invalid_yaml',
        detail: "invalid YAML: the alias '*nobody' has no anchor before it",
        path: '/nodes/a/params/value',
        line: 3,
        column: 52,
      },
    ])
  })

  it('may be many as long as they are small', () => {
    const uses = Array.from({ length: 9_000 }, () => '*small').join(', ')
    expect(faultsOf(`x-a: &small {a: 1}\n${inFlow(`[${uses}]`)}`)).toEqual([])
  })
})

describe('what JSON does not have', () => {
  it.each([
    ['!!js/function "function(){}"', "the tag '!!js/function' is not supported"],
    ['!!python/object/apply:os.system [ls]', "the tag '!!python/object/apply:os.system' is not supported"],
    ['!!timestamp 2026-01-31', "the tag '!!timestamp' is not supported"],
    ['!!binary aGk=', "the tag '!!binary' is not supported"],
    ['!!set {a, b}', "the tag '!!set' is not supported"],
    ['!!omap [a: 1]', "the tag '!!omap' is not supported"],
    ['!mine x', "the tag '!mine' is not supported"],
    ['!!int abc', "the value is not what its tag '!!int' says"],
    ['!!map [1]', "the value is not what its tag '!!map' says"],
    ['.nan', "JSON has no number '.nan'"],
    ['-.inf', "JSON has no number '-.inf'"],
    ['1e999', "JSON has no number '1e999'"],
    ['"a\\0b"', 'the text holds U+0000 or half of a surrogate pair'],
    ['"\\ud800"', 'the text holds U+0000 or half of a surrogate pair'],
    ['{1: a}', "the key '1' is no text: put it in quotes"],
    ['{true: a}', "the key 'true' is no text: put it in quotes"],
    ['{? [a] : b}', 'a key must be a text'],
    ['{a: 1, "a": 2}', "the key 'a' is written twice"],
    ['{<<: 1}', "'<<' takes a mapping or a list of mappings"],
  ])('is refused: %s', (value, detail) => {
    expect(faultsOf(inFlow(value)).map((fault) => fault.detail)).toContain(`invalid YAML: ${detail}`)
  })

  it.each([
    '!!str 12',
    '!!int 12',
    '!!float 1.5',
    '!!bool true',
    '!!null null',
    '!!seq [1]',
    '!!map {a: 1}',
    '! plain',
  ])('does not include %s', (value) => {
    expect(faultsOf(inFlow(value))).toEqual([])
  })

  it('stands beside the other faults, without echoes of its own', () => {
    const faults = faultsOf(
      'metadata: {name: .inf}\nnodes: {a: {type: !x y, next: {b: c}, batch: {strategy: !y z}}, a: {}}',
    )
    expect(faults.map(({ path, code }) => `${path} ${code}`)).toEqual([
      '/metadata/name invalid_yaml',
      '/nodes/a/type invalid_yaml',
      '/nodes/a/next/b unknown_node',
      '/nodes/a/batch/strategy invalid_yaml',
      '/nodes/a duplicate_key',
    ])
  })
})

describe('text that is not one YAML document', () => {
  it.each([
    ['a tab as indentation', 'metadata:\n\tname: a', 2],
    ['an open quote', 'metadata:\n  name: "a\n', 3],
    ['a bad indentation', 'metadata:\n   name: a\n  version: b', 3],
    ['two documents', 'a: 1\n---\nb: 2', 2],
    ['two endings', 'a: 1\n...\n...\n', 3],
    ['a directive for tags', '%TAG ! tag:a.test,2026:\n---\na: 1', 1],
    ['U+0000', 'a: 1\nb: \0', 2],
    ['half of a surrogate pair', 'a: \ud800', 1],
  ])('is told as such: %s', (_, text, line) => {
    const [fault] = faultsOf(text)
    expect(fault).toMatchObject({ code: 'invalid_yaml', path: '', line })
    expect(fault?.detail).toMatch(/^invalid YAML: /)
  })

  it('does not hide behind an old version of YAML', () => {
    const compilation = compile(`%YAML 1.1\n---\n${inFlow('[yes, 0o10, 010]')}`, fakeStepTypes)
    expect(compilation.ok && compilation.graph.nodes.get('a')?.params.value).toEqual(['yes', 8, 10])
  })
})

describe('nodes', () => {
  it('may be ten thousand', () => {
    const compilation = compile(chain(10_000), fakeStepTypes)
    expect(compilation.ok && compilation.graph.nodes.size).toBe(10_000)
  })

  it('may not be more', () => {
    expect(faultsOf(chain(10_001))).toEqual([
      { code: 'too_many_nodes', detail: 'a flow may have at most 10000 nodes', path: '/nodes', line: 3, column: 1 },
    ])
  })

  it('without edges are listed up to a hundred', () => {
    const nodes = Array.from({ length: 300 }, (_, index) => `  n${index}: {type: condition}\n`).join('')
    const [fault] = faultsOf(`metadata: {name: t}\nnodes:\n${nodes}`)
    expect(fault?.detail).toMatch(/^multiple start nodes found: 'n0', 'n1', .*'n98' and 201 more$/)
  })
})

describe('an answer', () => {
  it('tells a thousand faults and counts the rest', () => {
    const nodes = Array.from({ length: 3_000 }, (_, index) => `  n${index}: {type: x}\n`).join('')
    const faults = faultsOf(`metadata: {name: t}\nnodes:\n${nodes}`)
    expect(faults).toHaveLength(1_001)
    expect(faults.at(-1)).toMatchObject({ code: 'too_many_faults', detail: 'and 2001 more faults' })
  })

  it('stays small however long the paths are', () => {
    const keys = Array.from({ length: 90 }, (_, index) => String(index).padEnd(1_000, 'k'))
    const value = `${keys.map((key) => `{${key}: `).join('')}[${'!x y,'.repeat(20_000)}]${'}'.repeat(90)}`
    const faults = faultsOf(`x-a: ${value}`)
    expect(JSON.stringify(faults).length).toBeLessThan(1.5 * MiB)
    expect(faults.at(-1)?.code).toBe('too_many_faults')
  })

  it('cuts long names', () => {
    const [fault] = faultsOf(inFlow(`{? ${'k'.repeat(1_025)} : 1}`))
    expect(fault?.detail).toBe('invalid YAML: a key may have at most 1024 characters')
    const [unknown] = faultsOf(`metadata: {name: t}\nnodes: {a: {type: ${'t'.repeat(100_000)}}}`)
    expect(unknown?.detail.length).toBeLessThan(300)
  })
})
