import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { closedPort } from './silent.js'

const PROGRAMS = [
  '/usr/bin/swift-ring-builder',
  '/usr/bin/swift-proxy-server',
  '/usr/bin/swift-account-server',
  '/usr/bin/swift-container-server',
  '/usr/bin/swift-object-server',
  '/usr/bin/memcached',
]
const STORES = ['account', 'container', 'object'] as const

/** Whether the Debian packages `swift-proxy`, `swift-account`, `swift-container`, `swift-object` and `memcached` are installed. */
export const swiftInstalled = PROGRAMS.every((program) => existsSync(program))

export interface SwiftPeer {
  port: number
  accessKey: string
  secretKey: string
  stop(): Promise<void>
}

/** OpenStack Swift with its S3 API, one server of each kind in a temporary folder that vanishes with it. */
export async function startSwift(): Promise<SwiftPeer> {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-swift-'))
  const port = await closedPort()
  const memcached = await closedPort()
  const ports = { account: await closedPort(), container: await closedPort(), object: await closedPort() }
  const children: ChildProcess[] = []
  const log = join(dir, 'log')
  const start = (program: string, ...args: string[]) => {
    const output = openSync(log, 'a')
    // Its configuration is found by the folder that the environment names.
    const env = { ...process.env, SWIFT_CONF_DIR: dir, PYTHONDONTWRITEBYTECODE: '1' }
    children.push(spawn(program, args, { cwd: dir, env, stdio: ['ignore', output, output], detached: true }))
  }
  const stop = async () => {
    await Promise.all(children.map(ended))
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    writeFileSync(
      join(dir, 'swift.conf'),
      '[swift-hash]\nswift_hash_path_suffix = millrace\nswift_hash_path_prefix = test\n',
    )
    mkdirSync(join(dir, 'devices/d1'), { recursive: true })
    for (const store of STORES) {
      ring(dir, store, ports[store])
      writeFileSync(join(dir, `${store}.conf`), storeConfiguration(dir, store, ports[store]))
    }
    writeFileSync(join(dir, 'proxy.conf'), proxyConfiguration(dir, port, memcached))
    start(
      '/usr/bin/memcached',
      '-l',
      '127.0.0.1',
      '-p',
      String(memcached),
      '-U',
      '0',
      '-m',
      '16',
      '-u',
      userInfo().username,
    )
    for (const store of STORES) start(`/usr/bin/swift-${store}-server`, join(dir, `${store}.conf`), '-v')
    start('/usr/bin/swift-proxy-server', join(dir, 'proxy.conf'), '-v')
    await listening([memcached, ...Object.values(ports), port], children, log)
    return { port, accessKey: 'test:tester', secretKey: 'testing', stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function ring(dir: string, store: string, port: number): void {
  const build = (...args: string[]) =>
    execFileSync('/usr/bin/swift-ring-builder', [join(dir, `${store}.builder`), ...args], { stdio: 'ignore' })
  build('create', '4', '1', '1')
  build(
    'add',
    '--region',
    '1',
    '--zone',
    '1',
    '--ip',
    '127.0.0.1',
    '--port',
    String(port),
    '--device',
    'd1',
    '--weight',
    '1',
  )
  build('rebalance')
}

function storeConfiguration(dir: string, store: string, port: number): string {
  return `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${port}
workers = 0
user = ${userInfo().username}
swift_dir = ${dir}
devices = ${join(dir, 'devices')}
mount_check = false
[pipeline:main]
pipeline = ${store}-server
[app:${store}-server]
use = egg:swift#${store}
`
}

function proxyConfiguration(dir: string, port: number, memcached: number): string {
  return `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${port}
workers = 0
user = ${userInfo().username}
swift_dir = ${dir}
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl s3api tempauth copy slo dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:${memcached}
${['catch_errors', 'gatekeeper', 'healthcheck', 'listing_formats', 'bulk', 'tempurl', 'copy', 'slo', 'dlo', 'versioned_writes', 'symlink'].map((name) => `[filter:${name}]\nuse = egg:swift#${name}\n`).join('')}`
}

async function listening(ports: number[], children: ChildProcess[], log: string): Promise<void> {
  const deadline = Date.now() + 45_000
  for (const port of ports) {
    while (!(await answers(port))) {
      if (Date.now() > deadline || children.some(({ exitCode }) => exitCode !== null))
        throw new Error(`Swift did not start: ${readFileSync(log, 'utf8').slice(-2_000)}`)
      await delay(50)
    }
  }
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const connected = await once(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  return connected
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const exit = once(child, 'exit')
  try {
    // Each is a group of its own, with the workers that it may have.
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    child.kill('SIGKILL')
  }
  await exit
}
