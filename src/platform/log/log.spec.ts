import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Logger } from '@nestjs/common'
import express from 'express'
import { afterEach, describe, expect, it } from 'vitest'
import { runInContext } from '../http/request-context.js'
import { accessLog } from './access-log.js'
import { createLog, type Log } from './log.js'
import { NestLog } from './nest-log.js'
import { readableLine } from './readable-line.js'
import { inWork } from './work-context.js'

function recording(set: { logLevel?: 'info' | 'debug'; logFormat?: 'json' | 'text' } = {}) {
  const lines: string[] = []
  const options = { logLevel: 'info', logFormat: 'json', production: false, ...set } as const
  const log = createLog(options, { write: (line) => lines.push(line) })
  return { log, lines, last: () => JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown> }
}

describe('the log', () => {
  it('writes one JSON line with level, time and what was said', () => {
    const { log, lines, last } = recording()
    log.info({ port: 8080 }, 'listening')
    expect(lines[0]).toMatch(/^\{.*\}\n$/)
    expect(last()).toEqual({ level: 'info', time: expect.stringMatching(/^\d{4}-.*Z$/), port: 8080, msg: 'listening' })
  })

  it('adds the id of the request being served', () => {
    const { log, last } = recording()
    runInContext({ requestId: 'req_1', ip: '', path: '/' }, () => log.info('inside'))
    expect(last()).toMatchObject({ requestId: 'req_1' })
    const trace = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 }
    runInContext({ requestId: 'req_1', ip: '', path: '/', trace }, () => log.info('traced'))
    expect(last()).toMatchObject({ requestId: 'req_1', traceId: trace.traceId })
    runInContext({ requestId: 'req_other', ip: '', path: '/' }, () =>
      inWork({ runId: 'run_1', traceId: trace.traceId }, () => log.info('working')),
    )
    expect(last()).toMatchObject({ runId: 'run_1', traceId: trace.traceId })
    expect(last()).not.toHaveProperty('requestId')
    log.info('outside')
    expect(last()).not.toHaveProperty('requestId')
  })

  it.each([
    'authorization',
    'cookie',
    'set-cookie',
    'password',
    'newPassword',
    'refresh_token',
    'accessToken',
    'secret',
    'clientSecret',
    'apiKey',
    'x-api-key',
    'Authorization',
  ])('keeps the value of %s out, at any depth', (name) => {
    const { log, lines } = recording()
    log.info({ [name]: 'hush', a: { b: [{ [name]: 'hush' }] }, headers: new Map() }, 'said')
    expect(lines.join()).not.toContain('hush')
    expect(lines.join()).toContain('[redacted]')
  })

  it('keeps counts and names that only sound secret', () => {
    const { log, last } = recording()
    log.info({ tokens: 12, keyboard: 'us', passed: 3 }, 'said')
    expect(last()).toMatchObject({ tokens: 12, keyboard: 'us', passed: 3 })
  })

  it('says of an error where it failed, and nothing that came with it', () => {
    const { log, last, lines } = recording()
    const cause = Object.assign(new Error('unique violation'), { code: '23505', parameters: ['hush'] })
    log.error({ err: Object.assign(new Error('not saved', { cause }), { query: 'insert hush' }) }, 'failed')
    expect(last()).toMatchObject({
      err: {
        type: 'Error',
        message: 'not saved',
        stack: expect.stringContaining('log.spec'),
        cause: { code: '23505' },
      },
    })
    expect(lines.join()).not.toContain('hush')
  })

  it('survives what refers to itself', () => {
    const { log, last } = recording()
    const loop: Record<string, unknown> = {}
    loop.loop = loop
    log.info({ loop }, 'round')
    expect(last()).toMatchObject({ msg: 'round' })
  })
})

describe('a readable line', () => {
  const json = (members: object) => JSON.stringify({ level: 'warn', time: '2030-01-02T03:04:05.678Z', ...members })

  it('fits on one line', () => {
    expect(readableLine(json({ context: 'Runs', msg: 'late', runId: 'run_1', lag: { ms: 5 } }), false)).toBe(
      '03:04:05.678  warn   Runs  late  runId=run_1  lag={"ms":5}\n',
    )
  })

  it('does not let what users send forge a line or colour the terminal', () => {
    const line = readableLine(json({ msg: 'a\nb', name: '\u001b[31mred\r' }), false)
    expect(line).toBe('03:04:05.678  warn   a\\nb  name=\\u001b[31mred\\r\n')
  })

  it('puts the stack of an error below', () => {
    const err = { stack: 'Error: x\n    at y', cause: { message: 'why' } }
    expect(readableLine(json({ msg: 'm', err }), false)).toMatch(/m\n {4}Error: x\n {8}at y\n {4}why\n$/)
  })
})

describe("Nest's Logger", () => {
  afterEach(() => Logger.overrideLogger(['log', 'error', 'warn']))

  it('writes to it: sentences, members, errors and stacks', () => {
    const { log, last } = recording()
    Logger.overrideLogger(new NestLog(log))
    const logger = new Logger('Runs')
    logger.log('started')
    expect(last()).toMatchObject({ level: 'info', context: 'Runs', msg: 'started' })
    logger.warn({ runId: 'run_1' }, 'late')
    expect(last()).toMatchObject({ level: 'warn', context: 'Runs', msg: 'late', runId: 'run_1' })
    logger.error({ err: new Error('x') }, 'failed')
    expect(last()).toMatchObject({ level: 'error', msg: 'failed', err: { message: 'x' } })
    logger.error(new Error('bare'))
    expect(last()).toMatchObject({ context: 'Runs', msg: 'bare', err: { message: 'bare' } })
    logger.error('failed', new Error('y').stack)
    expect(last()).toMatchObject({
      context: 'Runs',
      msg: 'failed',
      err: { stack: expect.stringContaining('Error: y') },
    })
  })

  it('keeps to itself what Nest says of its own wiring, and of failures that it throws', () => {
    const { log, lines } = recording()
    Logger.overrideLogger(new NestLog(log))
    new Logger('RouterExplorer').log('Mapped {/api/health, GET} route')
    new Logger('RouterExplorer').warn('two routes of one path')
    new Logger('ExceptionHandler').error(new Error('thrown as well'))
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(['warn'])
  })
})

describe('the access log', () => {
  async function ask(log: Log, path: string): Promise<void> {
    const app = express()
    app.use(accessLog(log))
    app.get('/things', (_, response) => void response.setHeader('X-Request-Id', 'req_7').send('ok'))
    app.get('/api/health', (_, response) => void response.send('ok'))
    app.get('/broken', (_, response) => void response.status(500).end())
    const server = createServer(app).listen(0)
    try {
      await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`).then((response) =>
        response.text(),
      )
    } finally {
      await new Promise((resolve) => server.close(resolve))
    }
  }

  it('says once what was asked and answered, without the query', async () => {
    const { log, lines, last } = recording()
    await ask(log, '/things?token=hush')
    expect(lines).toHaveLength(1)
    expect(last()).toMatchObject({ level: 'info', method: 'GET', path: '/things', status: 200, requestId: 'req_7' })
    expect(last().ms).toEqual(expect.any(Number))
    expect(lines.join()).not.toContain('hush')
  })

  it('is louder about failures and quieter about health', async () => {
    const { log, last, lines } = recording()
    await ask(log, '/broken')
    expect(last()).toMatchObject({ level: 'error', status: 500 })
    await ask(log, '/api/health')
    expect(lines).toHaveLength(1)
  })
})
