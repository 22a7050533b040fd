import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'

const root = join(import.meta.dirname, '..')

/** Files that keep every rule. */
const fine = {
  'src/platform/ids.ts': 'export const id = 1',
  'src/platform/d.ts': "import './c.js'",
  'src/engine/step.ts': "import { id } from '../platform/ids.js'\nexport const step = id",
  'src/steps/store.ts': "import { step } from '../engine/step.js'\nexport const store = step",
  'src/definitions/compile.ts': "import { store } from '../steps/store.js'\nexport const compile = store",
  'src/modules/runs/runs.service.ts':
    "import { Injectable } from '@nestjs/common'\nimport '../../engine/step.js'\n@Injectable()\nexport class Runs {}",
  'src/modules/runs/runs.service.spec.ts':
    "import { it } from 'vitest'\nimport '../../app/api.js'\nit('runs', () => {})",
  'src/modules/runs/flowrunner/words.ts': "import { Runs } from '../runs.service.js'\nexport const words = Runs",
  'src/modules/runs/flow8/words.ts': "import { Runs } from '../runs.service.js'\nexport const words = Runs",
  'src/surfaces/flow8.ts': "import { words } from '../modules/runs/flow8/words.js'\nexport const surface = words",
  'src/app/api.ts': "import { surface } from '../surfaces/flow8.js'\nexport const api = surface",
}

/** A rule, a file and the line in it that breaks the rule. */
const broken: [rule: string, path: string, text: string][] = [
  ['platform-imports-upwards', 'src/platform/a.ts', "import { step } from '../engine/step.js'\nconsole.log(step)"],
  [
    'platform-imports-upwards',
    'src/platform/b.ts',
    "import type { step } from '../engine/step.js'\nexport type B = typeof step",
  ],
  ['engine-imports-upwards', 'src/engine/a.ts', "export * from '../modules/runs/runs.service.js'"],
  ['steps-imports-upwards', 'src/steps/a.ts', "import('../definitions/compile.js')"],
  ['definitions-imports-upwards', 'src/definitions/a.ts', "import '../modules/runs/runs.service.js'"],
  ['modules-imports-upwards', 'src/modules/runs/a.ts', "import '../../surfaces/flow8.js'"],
  ['surfaces-imports-upwards', 'src/surfaces/a.ts', "import '../app/api.js'"],
  [
    'libraries-know-no-framework',
    'src/engine/b.ts',
    "import { Injectable } from '@nestjs/common'\nconsole.log(Injectable)",
  ],
  [
    'libraries-know-no-framework',
    'src/steps/b.ts',
    "import type { DataSource } from 'typeorm'\nexport type B = DataSource",
  ],
  ['surface-words-stay-in-their-folders', 'src/modules/flows/a.ts', "import '../runs/flowrunner/words.js'"],
  ['surface-words-stay-in-their-folders', 'src/modules/runs/b.ts', "import './flowrunner/words.js'"],
  ['surfaces-do-not-mix', 'src/modules/runs/flow8/a.ts', "import '../flowrunner/words.js'"],
  ['the-demo-is-a-client', 'src/demo/a.ts', "import '../platform/ids.js'"],
  ['nothing-needs-the-demo', 'src/app/a.ts', "import '../demo/a.js'"],
  ['no-cycles', 'src/platform/c.ts', "import './d.js'"],
  ['fakes-only-in-tests', 'src/app/b.ts', "import '../modules/runs/runs.service.spec.js'"],
  ['only-what-is-installed-to-run', 'src/platform/e.ts', "import { it } from 'vitest'\nconsole.log(it)"],
  ['found', 'src/platform/f.ts', "import './nowhere.js'"],
]

let project: string
let found: { from: string; rule: string }[]

/** Looks once over a project that breaks every rule. */
beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'millrace-layers-'))
  for (const file of ['.dependency-cruiser.cjs', 'tsconfig.json', 'package.json']) {
    cpSync(join(root, file), join(project, file))
  }
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'))
  for (const [path, text] of [...Object.entries(fine), ...broken.map(([, path, text]) => [path, text] as const)]) {
    mkdirSync(dirname(join(project, path)), { recursive: true })
    writeFileSync(join(project, path), `${text}\n`)
  }
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/.bin/depcruise'), 'src', '--config', '.dependency-cruiser.cjs', '--output-type', 'json'],
    { cwd: project, encoding: 'utf8' },
  )
  if (!stdout.startsWith('{')) throw new Error(stderr || stdout)
  const { summary } = JSON.parse(stdout) as { summary: { violations: { from: string; rule: { name: string } }[] } }
  found = summary.violations.map(({ from, rule }) => ({ from, rule: rule.name }))
})

afterAll(() => rmSync(project, { recursive: true, force: true }))

it.each(broken)('%s: refuses %s with %j', (rule, path) => {
  expect(found).toContainEqual({ from: path, rule })
})

it('refuses nothing else', () => {
  const expected = new Set(broken.map(([rule, path]) => `${path} ${rule}`))
  expect(found.map(({ from, rule }) => `${from} ${rule}`).filter((one) => !expected.has(one))).toEqual([])
})
