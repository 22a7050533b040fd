import { appendFileSync, mkdirSync } from 'node:fs'
import type { NestExpressApplication } from '@nestjs/platform-express'
import request, { type Response, type Test } from 'supertest'
import { createApp } from '../../src/app/create-app.js'
import { dialects } from '../../src/dialects/index.js'
import { createLog } from '../../src/platform/log/log.js'
import { masterDocument } from '../../src/platform/openapi/documents.js'
import { AuditWitness } from './audit-witness.js'
import { testConfig } from './config.js'
import { testDatabase } from './database.js'
import { hangUpOnStreams } from './event-stream.js'
import { type Answer, mediaType, PublishedSpec } from './published.js'

export const ADMIN = { email: 'admin@example.com', password: 'correct horse battery' }

/** Pages for people, and paths of channels' own making, which no document describes. */
const UNPUBLISHED = /^\/(docs|openapi|problems|channels)(\/|$)/

hangUpOnStreams()

const COVERAGE = new URL('../../coverage/api/', import.meta.url)

type Method = 'get' | 'put' | 'post' | 'delete' | 'patch' | 'head' | 'options'

/**
 * The whole application on a database of its own, asked as supertest does: `api.get('/api/health').expect(200)`. Whatever is asked,
 * the answer is held against the published document, and what was reached is noted in `coverage/api`. When it closes, every call that
 * changed something must have left its entry in the audit trail.
 */
export class ApiUnderTest {
  private readonly reached = new Set<string>()
  private readonly audit = new AuditWitness()
  private token?: string

  constructor(
    readonly app: NestExpressApplication,
    readonly spec: PublishedSpec,
    readonly databaseUrl: string,
    /** Takes the database away, while the application runs. */
    readonly dropDatabase: () => Promise<void>,
  ) {}

  get = (path: string): Test => this.ask('get', path)
  put = (path: string): Test => this.ask('put', path)
  post = (path: string): Test => this.ask('post', path)
  delete = (path: string): Test => this.ask('delete', path)

  ask(method: Method, path: string): Test {
    const before = path.replace(/[?#].*$/s, '')
    return request(this.app.getHttpServer())
      [method](path)
      .expect((response) => this.check(method, before, response))
  }

  /** `Authorization` of the first admin. */
  async asAdmin(): Promise<string> {
    this.token ??= await this.login(ADMIN.email, ADMIN.password)
    return `Bearer ${this.token}`
  }

  /** Signs in anew at the next `asAdmin`. */
  forgetToken(): void {
    this.token = undefined
  }

  async login(username: string, password: string): Promise<string> {
    const { body } = await this.post('/api/v1/auth/login').send({ username, password }).expect(200)
    return body.token
  }

  async close(): Promise<void> {
    mkdirSync(COVERAGE, { recursive: true })
    appendFileSync(new URL(`${process.pid}.tsv`, COVERAGE), [...this.reached].map((line) => `${line}\n`).join(''))
    const unaudited = await this.audit.missing(this.databaseUrl)
    await this.app.close()
    await this.dropDatabase()
    if (unaudited.length > 0) throw new Error(`not in the audit trail:\n${unaudited.join('\n')}`)
  }

  private check(method: Method, path: string, response: Response): void {
    const published = this.spec.find(method.toUpperCase(), path)
    const answer: Answer = {
      status: response.status,
      headers: response.headers,
      body: response.text ? parsed(response) : undefined,
    }
    const faults = published
      ? method === 'head'
        ? []
        : this.spec.faults(published, answer)
      : unpublishedFaults(method, path, answer)
    if (published) {
      this.reached.add(`${published.operation.operationId}\t${response.status}`)
      this.audit.saw(published, response)
    }
    if (faults.length > 0) {
      throw new Error(
        `${method.toUpperCase()} ${path} answered ${response.status} against the document:\n${faults.join('\n')}\n${response.text}`,
      )
    }
  }
}

export async function apiUnderTest(set: Record<string, string> = {}): Promise<ApiUnderTest> {
  const database = await testDatabase()
  const config = testConfig({
    DATABASE_URL: database.url,
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    ...set,
  })
  const app = await createApp({ config, log: createLog(config) })
  await app.listen(0, '127.0.0.1')
  return new ApiUnderTest(app, new PublishedSpec(masterDocument(app, dialects)), database.url, () => database.drop())
}

/** What no operation answered must still be a problem of the kind that stands for that. */
function unpublishedFaults(method: Method, path: string, answer: Answer): string[] {
  if (UNPUBLISHED.test(path) || method === 'options' || method === 'head') return []
  const faults: string[] = []
  if (![400, 404, 405, 413, 415, 429].includes(answer.status)) faults.push('no operation is documented there')
  if (mediaType(answer) !== 'application/problem+json') faults.push('it is no problem document')
  const { status } = (answer.body ?? {}) as { status?: number }
  if (status !== answer.status) faults.push(`its status says ${status}`)
  return faults
}

function parsed(response: Response): unknown {
  return /json$/.test(mediaType(response)) ? JSON.parse(response.text) : response.text
}
