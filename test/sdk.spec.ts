import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-sdk-'))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('is packed, and serves a project that has nothing else', { timeout: 120_000 }, () => {
  const source = join(folder, 'source')
  cpSync(join(root, 'sdk/typescript'), source, { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(source, 'node_modules'))
  const env = { ...process.env, PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}` }
  const packed = execFileSync('npm', ['pack', '--json', '--pack-destination', folder], {
    cwd: source,
    env,
    encoding: 'utf8',
  })
  const [tarball] = [packed].flatMap((text) => /"filename":\s*"([^"]+)"/.exec(text)?.[1] ?? [])

  const project = join(folder, 'project')
  const installed = join(project, 'node_modules/@millrace/sdk')
  mkdirSync(installed, { recursive: true })
  execFileSync('tar', ['-xzf', join(folder, tarball ?? ''), '-C', installed, '--strip-components=1'])
  writeFileSync(
    join(project, 'use.mjs'),
    `import * as sdk from '@millrace/sdk'
import { createServer } from 'node:http'
const seen = []
const server = createServer((request, response) => {
  seen.push(request.method + ' ' + request.url + ' ' + request.headers.authorization)
  response.setHeader('content-type', 'application/json').end('{"total":0}')
}).listen(0, '127.0.0.1', async () => {
  const millrace = sdk.connect({ baseUrl: 'http://127.0.0.1:' + server.address().port, token: 'abc' })
  const { data } = await millrace.flow8.plays.list({ query: { state: 'RUN' } })
  await millrace.flowRunner.flows.list({ query: { limit: 5 } })
  await millrace.flwd.jobs.get({ path: { job_id: 'backup/daily' } })
  console.log(JSON.stringify({ seen, data, exports: Object.keys(sdk) }))
  server.close()
  server.closeAllConnections()
})
`,
  )
  const output = execFileSync(process.execPath, ['use.mjs'], { cwd: project, encoding: 'utf8' })
  expect(JSON.parse(output)).toEqual({
    seen: [
      'GET /api/plays?state=RUN Bearer abc',
      'GET /api/v1/flows?limit=5 Bearer abc',
      'GET /api/v1/jobs/backup%2Fdaily Bearer abc',
    ],
    data: { total: 0 },
    // Classes of the generator are reached through these: their own names change when others come.
    exports: ['Millrace', 'connect', 'createClient'],
  })
})
