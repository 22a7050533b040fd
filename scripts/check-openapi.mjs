/* `npm run check:openapi`: the published documents and the SDK are what the code makes of them today, and no linter finds anything. */
import './node24.mjs'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const GENERATED = ['openapi', 'asyncapi', 'sdk/typescript/src']

const before = contents()
const ran = ['openapi', 'sdk'].every((script) => run('npm', ['run', '--silent', script], 'ignore'))
const after = contents()
const stale = [...new Set([...before.keys(), ...after.keys()])].filter((file) => before.get(file) !== after.get(file))
if (!ran) console.error('the documents or the SDK could not be generated')
if (stale.length > 0) console.error(`not as the code makes them (they are now, commit them):\n${stale.join('\n')}`)

const linted = [
  run('redocly', ['lint', '--format=stylish']),
  run('spectral', ['lint', '--fail-severity=hint', '--quiet', 'openapi/*.json']),
].every(Boolean)
process.exitCode = ran && stale.length === 0 && linted ? 0 : 1

function contents() {
  const files = GENERATED.filter((folder) => existsSync(`${root}${folder}`)).flatMap((folder) =>
    readdirSync(`${root}${folder}`, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => `${entry.parentPath}/${entry.name}`),
  )
  return new Map(files.map((file) => [file.slice(root.length), readFileSync(file, 'utf8')]))
}

function run(command, args, stdout = 'inherit') {
  const environment = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }
  const path = `${root}node_modules/.bin:${process.env.PATH}`
  const { status } = spawnSync(command, args, {
    cwd: root,
    env: { ...environment, PATH: path },
    stdio: ['ignore', stdout, 'inherit'],
  })
  return status === 0
}
