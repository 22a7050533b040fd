import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

interface LockedPackage {
  resolved?: string
  integrity?: string
  optionalDependencies?: Record<string, string>
}

/** The program's, and that of the object stores which its tests speak to. */
describe.each(['package-lock.json', 'test/peers/package-lock.json'])('%s', (lockfile) => {
  const { packages } = JSON.parse(readFileSync(join(import.meta.dirname, '..', lockfile), 'utf8')) as {
    packages: Record<string, LockedPackage>
  }
  const names = new Set(Object.keys(packages).map((path) => path.split('node_modules/').at(-1)))

  /** A package for another platform that was published late is left out silently at the install, and fails every `npm ci` afterwards. */
  it('holds every optional package that another one names', () => {
    const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).flatMap((name) => (names.has(name) ? [] : [`${path} -> ${name}`])),
    )
    expect(missing).toEqual([])
  })

  it('names no registry, and the content of every package', () => {
    const entries = Object.entries(packages).filter(([path]) => path !== '')
    expect(entries.filter(([, { resolved }]) => resolved)).toEqual([])
    expect(entries.filter(([, { integrity }]) => !integrity)).toEqual([])
    expect(entries.length).toBeGreaterThan(100)
  })
})
