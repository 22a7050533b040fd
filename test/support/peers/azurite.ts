import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { peerPackages } from './packages.js'
import { closedPort } from './silent.js'

export interface AzuritePeer {
  endpoint: string
  accountName: string
  accountKey: string
  stop(): Promise<void>
}

/** Microsoft's emulator of Blob Storage in a temporary folder; undefined where its package cannot be installed. */
export async function startAzurite(): Promise<AzuritePeer | undefined> {
  const require = await peerPackages()
  if (!require) return undefined
  const dir = mkdtempSync(join(tmpdir(), 'millrace-azurite-'))
  const port = await closedPort()
  const accountName = 'millracetest'
  const accountKey = randomBytes(64).toString('base64')
  const log = join(dir, 'log')
  const output = openSync(log, 'a')
  // Newer SDKs ask for versions of the API that it does not know by name.
  const switches = ['--silent', '--disableTelemetry', '--skipApiVersionCheck', '--disableProductStyleUrl']
  const where = ['--location', dir, '--blobHost', '127.0.0.1', '--blobPort', String(port)]
  const child = spawn(process.execPath, [require.resolve('azurite/dist/src/blob/main.js'), ...where, ...switches], {
    cwd: dir,
    env: { ...process.env, AZURITE_ACCOUNTS: `${accountName}:${accountKey}` },
    stdio: ['ignore', output, output],
  })
  closeSync(output)
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await once(child, 'exit')
    rmSync(dir, { recursive: true, force: true })
  }
  const endpoint = `http://127.0.0.1:${port}/${accountName}`
  try {
    await answering(endpoint, child, log)
    return { endpoint, accountName, accountKey, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function answering(url: string, child: ChildProcess, log: string): Promise<void> {
  for (const deadline = Date.now() + 45_000; Date.now() < deadline; await delay(50)) {
    if (child.exitCode !== null) break
    if (await fetch(url).catch(() => undefined)) return
  }
  throw new Error(`Azurite did not start: ${readFileSync(log, 'utf8').slice(-2_000)}`)
}
