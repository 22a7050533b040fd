import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Millrace } from '../sdk/typescript/src/index.js'
import { type Document, operationsOf, type Schema } from '../src/platform/openapi/document.js'

/**
 * What clients hold on to: the document, and the names in it and in the SDK that nothing but clients needs. `openapi/released` keeps
 * those of the last release, and what is published now may add to them, and take nothing away unless the version says so.
 */
export interface Contract {
  document: Document
  names: readonly string[]
}

const root = fileURLToPath(new URL('..', import.meta.url))
const RELEASED = join(root, 'openapi/released')
const DOCUMENT = join(RELEASED, 'openapi.json')
const NAMES = join(RELEASED, 'names.txt')

export function releasedContract(): Contract {
  return {
    document: JSON.parse(readFileSync(DOCUMENT, 'utf8')),
    names: readFileSync(NAMES, 'utf8').trimEnd().split('\n'),
  }
}

/** As the generated files say it. */
export function presentContract(): Contract {
  const document: Document = JSON.parse(readFileSync(join(root, 'openapi/openapi.json'), 'utf8'))
  const types = readFileSync(join(root, 'sdk/typescript/src/types.gen.ts'), 'utf8')
  return { document, names: [...namesOfDocument(document), ...methodsOfSdk(), ...typesOfSdk(types)].sort() }
}

export function release({ document, names }: Contract): void {
  writeFileSync(DOCUMENT, `${JSON.stringify(document, null, 2)}\n`)
  writeFileSync(NAMES, `${names.join('\n')}\n`)
}

/** Every change that can break a client. */
export function breakingChanges(released: Contract, present: Contract): string[] {
  const kept = new Set(present.names)
  const lost = released.names.filter((name) => !kept.has(name)).map((name) => `no more: ${name}`)
  return [...breakingDifferences(released.document, present.document), ...lost]
}

/** Whether a version may break what another had promised: a new major version, and before the first of them a new minor one. */
export function mayBreak(released: string, present: string): boolean {
  const [major = 0, minor = 0] = released.split('.').map(Number)
  const [nextMajor = 0, nextMinor = 0] = present.split('.').map(Number)
  return nextMajor > major || (major === 0 && nextMajor === 0 && nextMinor > minor)
}

/**
 * The names that Redocly's comparison does not miss where they change: those of parameters of paths, of tags (classes, where a generator
 * makes one for each), of schemas (which are types of the SDK, too), and the values that stand for what is left out.
 */
export function namesOfDocument(document: Document): string[] {
  const operations = operationsOf(document).flatMap(({ operation }) => {
    const { operationId, tags, parameters = [] } = operation
    return [
      ...tags.map((tag) => `tag of ${operationId}: ${tag}`),
      ...parameters.flatMap(({ name, in: place, schema, ...more }) => [
        ...(place === 'path' ? [`path of ${operationId}: ${name}${more['x-holds-slashes'] ? '*' : ''}`] : []),
        ...(schema?.default === undefined
          ? []
          : [`default of ${operationId}: ${name}=${JSON.stringify(schema.default)}`]),
      ]),
    ]
  })
  const schemas = Object.entries(document.components.schemas).flatMap(([name, { properties = {} }]) => [
    `schema ${name}`,
    ...Object.entries(properties).flatMap(([member, schema]) => defaultOf(`${name}.${member}`, schema)),
  ])
  return [...operations, ...schemas]
}

function defaultOf(what: string, schema: Schema): string[] {
  return schema.default === undefined ? [] : [`default of ${what}: ${JSON.stringify(schema.default)}`]
}

/** `flow8.plays.list`, as far as a client of the SDK reaches. */
function methodsOfSdk(): string[] {
  return methodsOf(new Millrace() as never, 'method ')
}

function methodsOf(holder: Record<string, unknown>, path: string): string[] {
  const members = Object.entries(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(holder)))
  return members.flatMap(([name, { get }]) => {
    if (name === 'constructor') return []
    return get ? methodsOf(holder[name] as never, `${path}${name}.`) : [`${path}${name}`]
  })
}

function typesOfSdk(types: string): string[] {
  return [...types.matchAll(/^export (?:type|interface|enum|const) (\w+)/gm)].map(([, name]) => `type ${name}`)
}

interface Verdict {
  impact: string
  message: string
}

function breakingDifferences(released: Document, present: Document): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-contract-'))
  try {
    const [before, after] = [released, present].map((document, index) => {
      const file = join(folder, `${index}.json`)
      writeFileSync(file, JSON.stringify(document))
      return file
    }) as [string, string]
    const redocly = join(root, 'node_modules/.bin/redocly')
    const { stdout, stderr } = spawnSync(redocly, ['diff', before, after, '--format=json', '--fail-on=none'], {
      cwd: root,
      env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' },
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    })
    if (!stdout.startsWith('{')) throw new Error(`the documents could not be compared: ${stderr}${stdout}`)
    const { changes } = JSON.parse(stdout) as { changes: { path: string; impact: string; verdicts: Verdict[] }[] }
    return changes
      .filter(({ impact }) => impact === 'major')
      .map(({ path, verdicts }) => {
        const messages = verdicts.filter(({ impact }) => impact === 'major').map(({ message }) => message)
        return `${path.replace('#/paths/', '').replaceAll('~1', '/')}: ${messages.join(' ')}`
      })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
