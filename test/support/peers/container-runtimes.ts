import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import Docker from 'dockerode'
import { busyboxRoot } from './busybox-image.js'

const STARTS_WITHIN_MS = 30_000
const ENDS_WITHIN_MS = 20_000
/** podman gives a container what this process may have, where it is not told; more it may not. */
const NOFILE = 20_000

/** A container runtime of a test's own, with its socket and all that it keeps in a temporary folder. */
export interface RuntimePeer {
  kind: 'docker' | 'podman'
  socket: string
  docker: Docker
  /** The id of an image with busybox as its shell and everything else. */
  busybox: string
  pid: number
  /** `kill -9`, with all that runs in it. */
  kill(): Promise<void>
  /** After `kill`, in the same folder. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/**
 * The real ones that can be had here, each once started and stopped by the spec that asks. Debian's docker.io and busybox-static are needed
 * for the first; the second is asked where podman is installed. Says why not, so that a run that skips them does not look as if it had passed.
 */
export async function runtimePeers(): Promise<RuntimePeer[]> {
  const peers = await Promise.all([tried('docker', startDockerd), tried('podman', startPodman)])
  return peers.filter((peer) => peer !== undefined)
}

/** Docker alone. */
export async function dockerPeer(): Promise<RuntimePeer | undefined> {
  return await tried('docker', startDockerd)
}

async function tried(kind: string, start: () => Promise<RuntimePeer>): Promise<RuntimePeer | undefined> {
  try {
    return await start()
  } catch (error) {
    console.warn(`tests with a real ${kind} are skipped: ${(error as Error).message}`)
    return undefined
  }
}

async function startDockerd(): Promise<RuntimePeer> {
  const binary = needs('/usr/sbin/dockerd', 'docker.io')
  const dir = mkdtempSync(join(tmpdir(), 'millrace-docker-'))
  const roots = ['--data-root', join(dir, 'data'), '--exec-root', join(dir, 'exec'), '--pidfile', join(dir, 'pid')]
  const noNetwork = ['--iptables=false', '--ip6tables=false', '--bridge=none']
  const socket = join(dir, 'docker.sock')
  const args = [...roots, ...noNetwork, '-H', `unix://${socket}`, '--storage-driver', 'overlay2']
  return await RealRuntime.start('docker', dir, socket, (log) =>
    spawn(binary, args, { cwd: dir, stdio: ['ignore', log, log] }),
  )
}

async function startPodman(): Promise<RuntimePeer> {
  const binary = needs('/usr/bin/podman', 'podman')
  const dir = mkdtempSync(join(tmpdir(), 'millrace-podman-'))
  const file = (name: string, content: string) => {
    writeFileSync(join(dir, name), content)
    return join(dir, name)
  }
  const env = {
    PATH: process.env.PATH,
    CONTAINERS_CONF: file(
      'containers.conf',
      `[containers]\ndefault_ulimits=["nofile=${NOFILE}:${NOFILE}","nproc=${NOFILE}:${NOFILE}"]\n` +
        `[engine]\nruntime="runc"\ncgroup_manager="cgroupfs"\nevents_logger="file"\ntmp_dir="${dir}/tmp"\n`,
    ),
    CONTAINERS_STORAGE_CONF: file(
      'storage.conf',
      `[storage]\ndriver="overlay"\ngraphroot="${dir}/root"\nrunroot="${dir}/run"\n`,
    ),
    CONTAINERS_REGISTRIES_CONF: file('registries.conf', 'unqualified-search-registries=[]\n'),
  }
  const socket = join(dir, 'podman.sock')
  const args = ['system', 'service', '--time=0', `unix://${socket}`]
  return await RealRuntime.start('podman', dir, socket, (log) =>
    spawn(binary, args, { cwd: dir, env, stdio: ['ignore', log, log] }),
  )
}

function needs(binary: string, debianPackage: string): string {
  if (process.getuid?.() !== 0) throw new Error('it takes root')
  if (!existsSync(binary)) throw new Error(`${binary} is missing: install ${debianPackage}`)
  if (!existsSync('/bin/busybox')) throw new Error('/bin/busybox is missing: install busybox-static')
  return binary
}

/** Its output goes to the open file. */
type Launch = (log: number) => ChildProcess

class RealRuntime implements RuntimePeer {
  readonly docker: Docker
  busybox = ''
  private child?: ChildProcess

  private constructor(
    readonly kind: 'docker' | 'podman',
    private readonly dir: string,
    readonly socket: string,
    private readonly launch: Launch,
  ) {
    this.docker = new Docker({ socketPath: socket })
  }

  static async start(kind: 'docker' | 'podman', dir: string, socket: string, launch: Launch) {
    const runtime = new RealRuntime(kind, dir, socket, launch)
    try {
      await runtime.restart()
      runtime.busybox = await runtime.importBusybox()
      return runtime
    } catch (error) {
      await runtime.stop()
      throw error
    }
  }

  get pid(): number {
    return this.child?.pid ?? 0
  }

  async restart(): Promise<void> {
    // It would wait for the containerd of its last life, which nobody may have buried yet.
    rmSync(join(this.dir, 'exec/containerd/containerd.pid'), { force: true })
    const path = join(this.dir, 'log')
    const log = openSync(path, 'a')
    const child = this.launch(log)
    closeSync(log)
    this.child = child
    const failed = once(child, 'error').then(([error]) => Promise.reject(error))
    failed.catch(() => {})
    for (const deadline = Date.now() + STARTS_WITHIN_MS; Date.now() < deadline; ) {
      if (child.exitCode !== null) throw new Error(`${this.kind} ended: ${readFileSync(path, 'utf8').slice(-500)}`)
      const answers = await this.docker.ping().then(
        () => true,
        () => false,
      )
      if (answers) return
      await Promise.race([failed, delay(50)])
    }
    throw new Error(`${this.kind} did not start in time`)
  }

  async kill(): Promise<void> {
    await this.end('SIGKILL')
  }

  async stop(): Promise<void> {
    await this.end('SIGTERM')
    // It holds the namespace of its network, and what it was killed over, by mounts.
    for (const mount of mountsBelow(this.dir)) await run('umount', ['-l', mount])
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 })
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit')
      child.kill(signal)
      await Promise.race([gone, delay(ENDS_WITHIN_MS, undefined, { ref: false })])
    }
    // What it started stays when it is killed: containerd, its shims, conmon. All have its folder in their command.
    for (const deadline = Date.now() + ENDS_WITHIN_MS; ; await delay(50)) {
      const left = processesOf(this.dir)
      if (left.length === 0) return
      if (Date.now() > deadline) throw new Error(`of ${this.kind} are left: ${left.map(({ command }) => command)}`)
      for (const { pid } of left)
        try {
          process.kill(pid, 'SIGKILL')
        } catch {}
    }
  }

  private async importBusybox(): Promise<string> {
    const stream = await this.docker.importImage(busyboxRoot())
    const text = await new Response(stream as unknown as BodyInit).text()
    const id = /sha256:[0-9a-f]{64}/.exec(text)?.[0]
    if (!id) throw new Error(`the image was not imported: ${text}`)
    return id
  }
}

/** Processes with the folder in their command, and, as of containers, whose parent is one of those. */
function processesOf(dir: string): { pid: number; command: string }[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ')
        const parent = Number(
          readFileSync(`/proc/${name}/stat`, 'utf8')
            .replace(/^.*\) \S /s, '')
            .split(' ')[0],
        )
        const isDead = / Z /.test(readFileSync(`/proc/${name}/stat`, 'utf8').replace(/^.*\)/s, ''))
        return isDead ? [] : [{ pid: Number(name), parent, command }]
      } catch {
        return []
      }
    })
  const own = all.filter(({ command, pid }) => command.includes(dir) && pid !== process.pid)
  const children = all.filter(({ parent }) => own.some(({ pid }) => pid === parent))
  return [...own, ...children.filter((child) => !own.includes(child))]
}

/** The innermost first. */
export function mountsBelow(dir: string): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${dir}/`))
    .reverse()
}

async function run(command: string, args: string[]): Promise<void> {
  const child = spawn(command, args, { stdio: 'ignore' })
  await once(child, 'exit')
}
