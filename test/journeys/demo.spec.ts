import { once } from 'node:events'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { chmod, mkdtemp } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { runFromSource, type SourceProcess } from '../support/process.js'

const entry = fileURLToPath(new URL('../../src/demo/demo.ts', import.meta.url))
const occupied = createServer()
let dataDir: string
let demo: SourceProcess | undefined

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'millrace-demo-'))
  // Started as root, the database runs as another user, who must be able to pass through.
  await chmod(dataDir, 0o711)
  await once(occupied.listen(0, '127.0.0.1'), 'listening')
})

afterAll(async () => {
  demo?.child.kill('SIGKILL')
  occupied.close()
  await vi.waitFor(() => expect(processesOn(dataDir)).toEqual([]), 20_000)
  rmSync(dataDir, { recursive: true, force: true })
})

/** Resolves with all that the demo has told when it has nothing more to do than to stay. */
async function start(environment: Record<string, string> = {}): Promise<{ demo: SourceProcess; told: string }> {
  demo = runFromSource([entry], { DATA_DIR: dataDir, PORT: '0', ...environment })
  let told = ''
  demo.child.stdout?.on('data', (text: string) => {
    told += text
  })
  await demo.line(/End +Ctrl-C/)
  return { demo, told }
}

/** What runs with this folder among its arguments: the database server and its watch. */
function processesOn(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')]
      } catch {
        return []
      }
    })
    .filter((command) => command.includes(folder))
}

describe.runIf(process.platform === 'linux')('npm run demo', { timeout: 60_000 }, () => {
  it('serves, runs a flow over real data, tells it live, and stays until Ctrl-C ends all of it', async () => {
    const { port } = occupied.address() as AddressInfo
    const { demo, told } = await start({ PORT: String(port) })
    const chapters = ['initialising the database', `port ${port} is taken`, 'accepted as run_', '▸ fetch', '✓ fetch']
    for (const part of chapters) expect(told).toContain(part)
    expect(told.indexOf('✓ deliver')).toBeGreaterThan(told.indexOf('▸ deliver'))
    expect(told).toContain('uploaded examples/weather-report.yaml')
    expect(told).toContain('info 1461 days, 741 months of carbon dioxide')
    expect(told).toMatch(/2014 +1233 +150 +17 +35\.6 +-6 +398\.6 +0\.74/)
    expect(told).toMatch(/the webhook has delivered \d{3,} bytes/)

    const [, url = '', user = '', password = ''] =
      /Swagger UI +(http:\S+)\/docs\n +Log in as +(\S+), password (\S+)/.exec(told) ?? []
    expect(await (await fetch(`${url}/docs`)).text()).toContain('swagger')
    const basic = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
    const response = await fetch(`${url}/api/v1/executions`, { headers: { authorization: basic } })
    const { executions } = (await response.json()) as { executions: { status: string }[] }
    expect(executions.map(({ status }) => status)).toEqual(['completed'])

    expect(processesOn(dataDir)).not.toEqual([])
    demo.child.kill('SIGINT')
    const { code, output, errors } = await demo.ended
    expect({ code, errors }).toEqual({ code: 0, errors: '' })
    expect(output).toContain('everything has ended')
    expect(processesOn(dataDir)).toEqual([])
  })

  it('starts again on the same data and uses its flow again, and ends all when it is killed', async () => {
    const { demo, told } = await start()
    expect(told).not.toContain('initialising the database')
    expect(told).toContain('updated examples/weather-report.yaml')
    expect(told).toMatch(/2014 +1233/)
    demo.child.kill('SIGKILL')
    await demo.ended
    await vi.waitFor(() => expect(processesOn(dataDir)).toEqual([]), 20_000)
  })

  it('says why when the data belongs to another process, and leaves that alone', async () => {
    const { demo, told } = await start()
    const second = runFromSource([entry], { DATA_DIR: dataDir, PORT: '0' })
    const { code, output } = await second.ended
    expect(code).toBe(1)
    expect(output).toMatch(/cannot start: .*another process/i)
    expect(output).toContain('the server did not start')
    const url = /http:\S+(?=\/docs\n)/.exec(told)?.[0]
    expect((await fetch(`${url}/api/v1/health`)).status).toBe(200)
    demo.child.kill('SIGTERM')
    expect(await demo.ended).toMatchObject({ code: 0 })
  })
})
