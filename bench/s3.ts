import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { presign } from '../src/modules/s3/signature/presign.js'
import { EmbeddedPostgres } from '../src/platform/database/embedded-postgres.js'
import { BenchServer } from './server.js'
import { cpuOfTree, residentMiB } from './usage.js'

const SMALL = 4 * 1024
const MIB = 1024 ** 2
const IN_FLIGHT = 32
const count = Number(process.argv[2] ?? 2_000)
const large = Number(process.argv[3] ?? 512) * MIB
const block = randomBytes(MIB)
const agent = new Agent({ keepAlive: true, maxSockets: IN_FLIGHT })

const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-s3-'))
await chmod(folder, 0o711)
const postgres = await EmbeddedPostgres.start({ dataDir: join(folder, 'data') })
const server = await BenchServer.start({
  root: fileURLToPath(new URL('..', import.meta.url)),
  databaseUrl: postgres.url,
  dataDir: join(folder, 'server'),
})
try {
  const made = await server.ask('POST', '/api/api-keys', { name: 'bench', scopes: ['s3'] })
  const { accessKey, secretKey: secret } = made as { accessKey: string; secretKey: string }
  await server.ask('POST', '/api/buckets', { name: 'bench' })
  const url = (method: 'GET' | 'PUT', key: string) =>
    presign({ method, origin: server.origin, bucket: 'bench', key, expiresIn: 600 }, { accessKey, secret }, new Date())
  const small = block.subarray(0, SMALL)
  const names = Array.from({ length: count }, (_, index) => `small/${index}`)
  await measured('warm-up', count, 'objects', () =>
    inTurns(names, (key) => exchanged('PUT', url('PUT', `warm/${key}`), [small])),
  )
  await measured(`PUT of 4 KiB, ${IN_FLIGHT} in flight`, count, 'objects', () =>
    inTurns(names, (key) => exchanged('PUT', url('PUT', key), [Buffer.concat([small, Buffer.from(key)])])),
  )
  await measured(`GET of 4 KiB, ${IN_FLIGHT} in flight`, count, 'objects', () =>
    inTurns(names, (key) => exchanged('GET', url('GET', key))),
  )
  const blocks = function* () {
    for (let sent = 0; sent < large; sent += MIB) yield block
  }
  await measured('PUT of one large object', large / MIB, 'MiB', () =>
    exchanged('PUT', url('PUT', 'large'), blocks(), large),
  )
  await measured('GET of one large object', large / MIB, 'MiB', () => exchanged('GET', url('GET', 'large')))
} finally {
  agent.destroy()
  await server.stop()
  await postgres.stop()
  await rm(folder, { recursive: true, force: true })
}

async function measured(what: string, units: number, unit: string, work: () => Promise<void>): Promise<void> {
  const cpu = cpuOfTree(server.pid)
  const from = performance.now()
  let most = 0
  const timer = setInterval(() => {
    most = Math.max(most, residentMiB(server.pid))
  }, 100)
  await work()
  clearInterval(timer)
  const seconds = (performance.now() - from) / 1_000
  const spent = ((cpuOfTree(server.pid) - cpu) / units) * 1_000
  console.log(
    `${what}: ${Math.round(units / seconds)} ${unit}/s, server CPU ${spent.toFixed(2)} ms each, memory at most ${Math.round(most)} MiB`,
  )
}

async function inTurns(all: readonly string[], work: (one: string) => Promise<void>): Promise<void> {
  const waiting = [...all]
  const lane = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) await work(next)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane))
}

async function exchanged(
  method: string,
  url: string,
  body: Iterable<Buffer> = [],
  length = [...body].reduce((sum, { length }) => sum + length, 0),
): Promise<void> {
  const asked = request(url, { method, agent, headers: method === 'PUT' ? { 'content-length': length } : {} })
  const answered = new Promise<void>((resolve, reject) => {
    asked.on('error', reject)
    asked.on('response', (answer) => {
      const drain = new Writable({ write: (_chunk, _encoding, done) => done() })
      if (answer.statusCode !== 200) reject(new Error(`${method} answered ${answer.statusCode}`))
      pipeline(answer, drain).then(resolve, reject)
    })
  })
  if (method === 'PUT') await pipeline(Readable.from(body), asked)
  else asked.end()
  await answered
}
