import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { emptyDatabase } from '../support/database.js'
import { runFromSource } from '../support/process.js'

const api = fileURLToPath(new URL('../../src/app/api.ts', import.meta.url))

describe('the start of the server', () => {
  let database: Awaited<ReturnType<typeof emptyDatabase>>
  let environment: Record<string, string>

  beforeAll(async () => {
    database = await emptyDatabase()
    environment = { PORT: '0', LOG_FORMAT: 'json', DATABASE_URL: database.url }
    environment.DATA_DIR = join(tmpdir(), `millrace-start-${process.pid}`)
    environment.JWT_SECRET = 'for tests only, forty characters long...'
    environment.ENCRYPTION_KEY = '5e'.repeat(32)
  })

  afterAll(() => database.drop())

  it('names all faults of the configuration in plain words and ends with 1', async () => {
    const { code, output, errors } = await runFromSource([api], { ...environment, PORT: 'x', LOG_LEVEL: 'loud' }).ended
    expect({ code, output }).toEqual({ code: 1, output: '' })
    expect(errors).toMatch(/^The configuration has 2 faults:\n- PORT must .+\n- LOG_LEVEL must .+\n$/)
  })

  it('says once what is done, prints the password of a first admin, and ends with 0 on SIGTERM', async () => {
    const server = runFromSource([api], environment)
    const { url } = JSON.parse(await server.line(/"listening on/))
    expect(await (await fetch(`${url}/api/v1/health`)).json()).toMatchObject({ status: expect.any(String) })
    server.child.kill('SIGTERM')
    const { code, output, errors } = await server.ended
    expect({ code, errors }).toEqual({ code: 0, errors: '' })
    expect(output).toContain('"migrating the database"')
    expect(output).toMatch(/^The first admin is \S+, with the password \S{16,}/m)
    expect(output.split('\n').length).toBeLessThan(10)
  })

  it('says what to do when the port is taken', async () => {
    const occupied = createServer()
    await once(occupied.listen(0, '127.0.0.1'), 'listening')
    const { port } = occupied.address() as AddressInfo
    const { code, output } = await runFromSource([api], { ...environment, PORT: String(port) }).ended
    occupied.close()
    expect(code).toBe(1)
    const complaints = output.split('\n').filter((line) => /"level":"(error|fatal)"/.test(line))
    expect(complaints).toHaveLength(1)
    expect(JSON.parse(complaints[0] ?? '')).toMatchObject({
      level: 'fatal',
      msg: `cannot start: port ${port} on 127.0.0.1 is taken. Stop what listens there, or choose another PORT.`,
    })
  })
})
