import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { probeIsolation } from '../../src/platform/processes/isolation.js'
import { emptyDatabase } from '../support/database.js'
import { runFromSource, type SourceProcess } from '../support/process.js'

const root = join(import.meta.dirname, '../..')
const { secureFault } = await probeIsolation()
const hasTools = spawnSync('bash', ['-c', 'command -v curl grep']).status === 0

/** The fenced `bash` blocks of a chapter of the README, in order: what a newcomer types. */
function blocksOf(title: string): string[] {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const chapter = new RegExp(`^## ${title}$(.*?)^## `, 'ms').exec(readme)?.[1] ?? ''
  return [...chapter.matchAll(/^```bash\n(.*?)^```$/gms)].map(([, block = '']) => block)
}

describe.runIf(hasTools)("the README's walk", { timeout: 60_000 }, () => {
  let folder: string
  let database: Awaited<ReturnType<typeof emptyDatabase>>
  let server: SourceProcess
  let url: string

  beforeAll(async () => {
    database = await emptyDatabase()
    folder = mkdtempSync(join(tmpdir(), 'millrace-walk-'))
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    cpSync(join(root, 'examples'), join(folder, 'examples'), { recursive: true })
    server = runFromSource([join(root, 'src/app/api.ts')], {
      PORT: '0',
      LOG_FORMAT: 'json',
      DATA_DIR: join(folder, '.data'),
      DATABASE_URL: database.url,
      ADMIN_EMAIL: 'me@example.com',
      ADMIN_PASSWORD: 'a long walk',
      JOB_SOURCES: join(folder, 'examples/jobs/sources.yaml'),
    })
    url = JSON.parse(await server.line(/listening on/)).url
  })

  afterAll(async () => {
    server.child.kill('SIGTERM')
    await server.ended
    await database.drop()
    rmSync(folder, { recursive: true })
  })

  function typed(commands: string): string {
    const path = `${join(process.execPath, '..')}:${process.env.PATH}`
    const { status, stdout, stderr } = spawnSync('bash', ['--norc', '-euo', 'pipefail', '-c', commands], {
      cwd: folder,
      encoding: 'utf8',
      timeout: 50_000,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: path, API: url, no_proxy: '127.0.0.1' },
    })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    return stdout
  }

  it('is true, line by line', () => {
    const stdout = typed(blocksOf('A walk of five minutes').join('\n'))

    const lines = stdout.split('\n')
    const messages = lines.filter((line) => line.startsWith('{"type":')).map((line) => JSON.parse(line))
    expect(messages[0]).toMatchObject({ type: 'execution_update' })
    expect(messages).toContainEqual(
      expect.objectContaining({
        type: 'node_completed',
        node_id: 'count',
        node_type: 'store',
        result: { key: 'visits-pricing', new_value: 1, incremented: 1 },
      }),
    )
    const ending = { status: 'completed', result: { page: 'pricing', visits: 1 } }
    expect(messages).toContainEqual(expect.objectContaining({ type: 'execution_completed', ...ending }))

    const answers = lines.filter((line) => line.startsWith('{"')).map((line) => JSON.parse(line))
    expect(answers).toContainEqual(expect.objectContaining({ ...ending, duration: expect.any(Number) }))
    expect(answers).toContainEqual(
      expect.objectContaining({
        logs: expect.arrayContaining([expect.objectContaining({ message: 'Execution started', node_id: 'count' })]),
      }),
    )
    expect(answers).toContainEqual(
      expect.objectContaining({ result: { greeting: 'Hello Ada', signed_with: '***', key_length: 14 } }),
    )
    expect(lines).toContain('"message":"signing with ***"')
    expect(stdout).not.toContain('open-sesame')

    const problem = answers.find(({ status }) => status === 422)
    expect(problem.errors).toContainEqual(
      expect.objectContaining({ detail: "unknown node type 'dealy' in node 'a'", line: 3 }),
    )
    expect(problem.errors.length).toBeGreaterThan(1)
  })

  it.skipIf(secureFault !== undefined)('has a job that runs', () => {
    const [login = ''] = blocksOf('A walk of five minutes')
    const stdout = typed([login, ...blocksOf('A job from a folder')].join('\n'))
    expect(stdout).toContain('"status":"success"')
    expect(stdout).toContain('"files_backed_up":3')
    expect(stdout).toContain('"message":"Collecting 3 files for /mnt/backup"')
    expect(stdout).toContain('./file-3.txt')
  })
})
