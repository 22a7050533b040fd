import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { variables } from '../src/platform/config/variables.js'

const root = join(import.meta.dirname, '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')

describe('the README', () => {
  const rows = [...readme.matchAll(/^\| `([A-Z_]+)` \|(.*?)\| .+ \|$/gm)].map(([, name = '', value = '']) => ({
    name,
    value: value.trim(),
  }))

  it('lists every variable of the configuration, once, and no other', () => {
    expect(rows.map(({ name }) => name).sort()).toEqual(Object.keys(variables.shape).sort())
  })

  it('names the defaults that hold', () => {
    const defaults = Object.entries(variables.shape).flatMap(([name, schema]) => {
      const { data } = schema.safeParse(undefined)
      return typeof data === 'string' || typeof data === 'number' ? [[name, String(data)]] : []
    })
    const named = rows.filter(({ value }) => /^`.+`$/.test(value)).map(({ name, value }) => [name, value.slice(1, -1)])
    const absolute = named.map(([name = '', value = '']) => [
      name,
      name === 'DATA_DIR' ? join(process.cwd(), value) : value,
    ])
    expect(absolute.sort()).toEqual(defaults.sort())
  })

  it('names only scripts that there are', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>
    }
    const commands = readme.matchAll(/npm (?:run ([\w:-]+)|(start|test))\b/g)
    const named = new Set([...commands].map(([, script, own]) => script ?? own ?? ''))
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining([...named]))
    expect(named.size).toBeGreaterThan(4)
  })

  it('points to files that there are', () => {
    const links = [
      ...readme.matchAll(/\]\(([^)#:]+)\)/g),
      ...readme.matchAll(/`((?:docs|src|test|examples)\/[\w/.-]+)`/g),
    ]
    const paths = links.map(([, path = '']) => path)
    expect(paths.length).toBeGreaterThan(5)
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([])
  })
})
