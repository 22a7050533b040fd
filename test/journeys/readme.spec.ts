import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { emptyDatabase } from '../support/database.js'
import { runFromSource, type SourceProcess } from '../support/process.js'

const root = join(import.meta.dirname, '../..')
const hasTools = spawnSync('bash', ['-c', 'command -v curl grep']).status === 0

/** The fenced `bash` blocks of the README's walk, in order: what a newcomer types. */
function walk(): string {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const chapter = /^## A walk of five minutes$(.*?)^## /ms.exec(readme)?.[1] ?? ''
  return [...chapter.matchAll(/^```bash\n(.*?)^```$/gms)].map(([, block]) => block).join('\n')
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
    })
    url = JSON.parse(await server.line(/listening on/)).url
  })

  afterAll(async () => {
    server.child.kill('SIGTERM')
    await server.ended
    await database.drop()
    rmSync(folder, { recursive: true })
  })

  it('is true, line by line', () => {
    const path = `${join(process.execPath, '..')}:${process.env.PATH}`
    const { status, stdout, stderr } = spawnSync('bash', ['--norc', '-euo', 'pipefail', '-c', walk()], {
      cwd: folder,
      encoding: 'utf8',
      timeout: 50_000,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: path, API: url, no_proxy: '127.0.0.1' },
    })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })

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
})
