import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { EmbeddedPostgres } from '../src/platform/database/embedded-postgres.js'
import { BenchServer } from './server.js'
import { cpuOfTree, residentMiB } from './usage.js'

const MIB = 1024 ** 2
const bytes = Number(process.argv[2] ?? 5) * 1024 * MIB
const block = randomBytes(MIB)

const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-objects-'))
await chmod(folder, 0o711)
const postgres = await EmbeddedPostgres.start({ dataDir: join(folder, 'data') })
const server = await BenchServer.start({
  root: fileURLToPath(new URL('..', import.meta.url)),
  databaseUrl: postgres.url,
  dataDir: join(folder, 'server'),
})
try {
  await server.ask('POST', '/api/buckets', { name: 'bench' })
  console.log(`at rest: ${Math.round(residentMiB(server.pid))} MiB`)
  await measured('upload, key before the file', () => upload('before', true))
  await measured('download', () => download('before'))
  await measured('upload, key behind the file', () => upload('behind', false))
} finally {
  await server.stop()
  await postgres.stop()
  await rm(folder, { recursive: true, force: true })
}

/** Looks at the server's memory ten times a second while something is done. */
async function measured(what: string, work: () => Promise<void>): Promise<void> {
  const before = residentMiB(server.pid)
  const cpu = cpuOfTree(server.pid)
  const from = performance.now()
  let most = before
  const timer = setInterval(() => {
    most = Math.max(most, residentMiB(server.pid))
  }, 100)
  await work()
  clearInterval(timer)
  const seconds = (performance.now() - from) / 1_000
  console.log(
    `${what}: ${seconds.toFixed(2)} s, ${Math.round(bytes / MIB / seconds)} MiB/s, ${(cpuOfTree(server.pid) - cpu).toFixed(1)} s of the processor, memory ${Math.round(before)} to at most ${Math.round(most)} MiB`,
  )
}

async function upload(key: string, isBefore: boolean): Promise<void> {
  const field = `--b\r\ncontent-disposition: form-data; name="key"\r\n\r\n${key}\r\n`
  const file = '--b\r\ncontent-disposition: form-data; name="file"; filename="big"\r\n\r\n'
  const head = Buffer.from(isBefore ? field + file : file)
  const tail = Buffer.from(isBefore ? '\r\n--b--\r\n' : `\r\n${field}--b--\r\n`)
  const headers = {
    'content-type': 'multipart/form-data; boundary=b',
    'content-length': head.length + bytes + tail.length,
  }
  const answer = await ask('POST', '/api/buckets/bench/objects', headers, function* () {
    yield head
    for (let sent = 0; sent < bytes; sent += MIB) yield block
    yield tail
  })
  answer.resume()
  await once(answer, 'end')
}

/** Also looks that what comes is what was sent. */
async function download(key: string): Promise<void> {
  const answer = await ask('GET', `/api/buckets/bench/objects/${key}`)
  let at = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    for (let from = 0; from < chunk.length; ) {
      const place = at % MIB
      const length = Math.min(chunk.length - from, MIB - place)
      if (chunk.compare(block, place, place + length, from, from + length) !== 0) throw new Error(`differs at ${at}`)
      from += length
      at += length
    }
  }
  if (at !== bytes) throw new Error(`${at} of ${bytes} bytes came`)
}

async function ask(
  method: string,
  path: string,
  headers: Record<string, string | number> = {},
  body?: () => Iterable<Buffer>,
): Promise<IncomingMessage> {
  const asked = request(server.origin + path, { method, headers: { ...headers, authorization: server.authorization } })
  const answered = once(asked, 'response') as Promise<[IncomingMessage]>
  if (body) await pipeline(Readable.from(body()), asked)
  else asked.end()
  const [answer] = await answered
  if ((answer.statusCode ?? 0) >= 300) throw new Error(`${path} answered ${answer.statusCode}`)
  return answer
}
