import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** Debian's docker-registry. */
export const hasDockerRegistry = spawnSync('docker-registry', ['--version']).status === 0

export const REGISTRY_USER = { username: 'robot', password: 'correct horse' }
/** bcrypt of that password, which the registry reads in no other form. */
const HTPASSWD = `robot:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n`

/** A real registry on 127.0.0.1, for whoever knows the password. */
export async function startDockerRegistry() {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-registry-'))
  const host = `127.0.0.1:${await freePort()}`
  await writeFile(join(folder, 'htpasswd'), HTPASSWD)
  const config = {
    version: 0.1,
    log: { accesslog: { disabled: true }, level: 'error' },
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    http: { addr: host },
    auth: { htpasswd: { realm: 'registry', path: join(folder, 'htpasswd') } },
  }
  await writeFile(join(folder, 'config.yml'), JSON.stringify(config))
  const child = spawn('docker-registry', ['serve', join(folder, 'config.yml')], { stdio: 'ignore' })
  const authorization = `Basic ${Buffer.from(`${REGISTRY_USER.username}:${REGISTRY_USER.password}`).toString('base64')}`
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(new URL(path, `http://${host}`), { ...init, headers: { ...init.headers, authorization } })
  for (let tries = 0; !(await ask('/v2/').catch(() => undefined))?.ok; tries++) {
    if (tries > 300 || child.exitCode !== null) throw new Error('docker-registry does not start')
    await delay(50)
  }
  return {
    host,
    /** Puts a blob there, as a push does. */
    async push(name: string, digest: string, content: Buffer): Promise<void> {
      const begun = await ask(`/v2/${name}/blobs/uploads/`, { method: 'POST' })
      const place = new URL(begun.headers.get('location') ?? '', `http://${host}`)
      place.searchParams.set('digest', digest)
      const put = await ask(place.href, {
        method: 'PUT',
        body: new Uint8Array(content),
        headers: { 'content-type': 'application/octet-stream' },
      })
      if (put.status !== 201) throw new Error(`the blob was not taken: ${put.status}`)
    },
    async tag(name: string, reference: string, manifest: Buffer, type: string): Promise<void> {
      const put = await ask(`/v2/${name}/manifests/${reference}`, {
        method: 'PUT',
        body: new Uint8Array(manifest),
        headers: { 'content-type': type },
      })
      if (put.status !== 201) throw new Error(`the manifest was not taken: ${put.status} ${await put.text()}`)
    },
    async stop(): Promise<void> {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
