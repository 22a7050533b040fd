import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { mountsBelow, runtimePeers } from '../../../test/support/peers/container-runtimes.js'
import { startRegistry } from '../../../test/support/peers/image-registry.js'
import { serverIdentity } from '../processes/marker.js'
import { ContainerError } from './container-error.js'
import type { ContainerEnd, ContainerOrder } from './container-order.js'
import type { ContainerRuntime } from './container-runtime.js'
import { ContainerRuntimes } from './container-runtimes.js'
import { removeLeftovers } from './leftovers.js'

const peers = await runtimePeers()

// A container takes some hundred milliseconds to begin and to end, and some seconds on a busy machine; a test has up to six.
vi.setConfig({ testTimeout: 60_000 })

/** An order, with its image by name. */
type Wanted = Partial<Omit<ContainerOrder, 'image'>> & { image?: string }

let root: string
const roots: string[] = []
let errors: unknown[]

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'millrace-containers-'))
  roots.push(root)
  for (const folder of ['run', 'job', 'secrets']) mkdirSync(join(root, folder))
  chmodSync(join(root, 'run'), 0o777)
  errors = []
})

afterEach(() => {
  rmSync(root, { recursive: true, force: true })
  expect(errors).toEqual([])
})

afterAll(async () => {
  for (const peer of peers) {
    const left = await peer.docker.listContainers({ all: true })
    await peer.stop()
    expect(left.map(({ Names }) => Names)).toEqual([])
  }
  // Another spec may have a runtime at the same time.
  const own = [...peers.map(({ socket }) => dirname(socket)), ...roots]
  expect(own.flatMap(mountsBelow)).toEqual([])
})

describe.each(peers)('a container of $kind', (peer) => {
  it('is told apart by its channels, live, and ends with its exit code', async () => {
    const release = join(root, 'run/go')
    const script = 'echo out; echo err >&2; while [ ! -e /workspace/go ]; do sleep 0.05; done; printf "ümlaut"; exit 7'
    const running = start(script)
    await vi.waitUntil(() => running.of('stdout') === 'out\n' && running.of('stderr') === 'err\n', WAIT)
    writeFileSync(release, '')
    expect(await running.ended).toEqual({ exitCode: 7, outOfMemory: false })
    expect(running.of('stdout')).toBe('out\nümlaut')
  })

  it('is nobody, without capabilities, new privileges, network, or a root that can be written', async () => {
    const { text, stdout, end } = await ran(`
      id -u; grep -E '^(Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status
      ls /sys/class/net; nc -w 2 1.1.1.1 80 || echo no network
      touch /x; touch /etc/x; touch /tmp/x /workspace/x && echo written
      ulimit -n; ulimit -c; cat /proc/1/environ | tr '\\0' '\\n' | grep -c DOCKER; hostname; pwd`)
    expect(end.exitCode).toBe(0)
    expect(text).toContain('65534\n')
    for (const set of ['Prm', 'Eff', 'Bnd', 'Amb']) expect(text).toMatch(new RegExp(`^Cap${set}:\\s+0{16}$`, 'm'))
    expect(text).toMatch(/^NoNewPrivs:\s+1$/m)
    expect(text).toMatch(/^Seccomp:\s+2$/m)
    expect(stdout).toMatch(/^lo\nno network\n/ms)
    expect(text.match(/Read-only file system/g)).toHaveLength(2)
    expect(stdout).toMatch(/written\n256\n0\n0\njob\n\/workspace\n$/)
  })

  it('sees the folders that are given to it as they are given, and secrets in files alone', async () => {
    writeFileSync(join(root, 'job/a.sh'), 'echo from the job\n')
    writeFileSync(join(root, 'secrets/token'), 'hush-hush')
    const mounts = [
      { source: join(root, 'job'), target: '/job', readOnly: true },
      { source: join(root, 'secrets'), target: '/run/secrets', readOnly: true },
    ]
    const script = 'sh /job/a.sh; cat /run/secrets/token; echo; echo x > /job/a.sh; echo x > /run/secrets/token; cat'
    const running = start(`${script} /workspace/wait`, { mounts, env: { PLAIN: 'value' } })
    execFileSync('mkfifo', [join(root, 'run/wait')])
    chmodSync(join(root, 'run/wait'), 0o666)
    await vi.waitUntil(() => running.of('stderr').split('\n').length > 2, WAIT)
    const inspected = JSON.stringify(await peer.docker.getContainer(running.name).inspect())
    expect(inspected).toContain('PLAIN=value')
    expect(inspected).not.toContain('hush-hush')
    writeFileSync(join(root, 'run/wait'), 'done\n')
    await running.ended
    expect(running.of('stdout')).toBe('from the job\nhush-hush\ndone\n')
    expect(running.of('stderr').match(/Read-only file system/g)).toHaveLength(2)
  })

  it('that takes more memory than it has is killed, and it is said why', async () => {
    const { end } = await ran('tail /dev/zero', { limits: { ...LIMITS, memoryMb: 24 } })
    expect(end).toMatchObject({ exitCode: 137, outOfMemory: true })
  })

  it('that forks without end comes to its limit and is gone as a whole', async () => {
    // A name of its own: another spec may have a bomb at the same time.
    const bomb = `bomb_${randomBytes(6).toString('hex')}`
    const running = start(`${bomb}() { ${bomb} | ${bomb} & }; ${bomb} & while :; do :; done`, {
      limits: { ...LIMITS, processes: 20 },
    })
    await vi.waitUntil(() => /can't fork/.test(running.text()), WAIT)
    const marked = () => processes().filter((command) => command.includes(`${bomb}()`)).length
    expect(marked()).toBeLessThanOrEqual(21)
    running.stop(new Error('enough'))
    await expect(running.ended).rejects.toThrow('enough')
    expect(marked()).toBe(0)
  })

  it('that is told to stop may end in its own way', async () => {
    const running = start(`trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done`)
    await vi.waitUntil(() => running.text().includes('ready'), WAIT)
    running.stop(new Error('cancelled'))
    await expect(running.ended).rejects.toThrow('cancelled')
    expect(running.text()).toContain('bye')
    expect(await names(peer)).toEqual([])
  })

  it('that does not listen when it is told to stop has its grace and is killed', async () => {
    const running = start(`trap '' TERM; echo ready; while :; do sleep 0.1; done`, {
      limits: { ...LIMITS, graceMs: 1_000 },
    })
    await vi.waitUntil(() => running.text().includes('ready'), WAIT)
    const told = performance.now()
    running.stop(new Error('cancelled'))
    await expect(running.ended).rejects.toThrow('cancelled')
    expect(performance.now() - told).toBeGreaterThan(900)
    expect(await names(peer)).toEqual([])
  })

  it('is given up before it begins where that is asked for', async () => {
    const running = start('echo never')
    running.stop(new Error('cancelled'))
    await expect(running.ended).rejects.toThrow('cancelled')
    expect(await names(peer)).toEqual([])
  })

  it('whose time is over is stopped', async () => {
    const { error, text } = await failed('echo begun; sleep 1000', { limits: { ...LIMITS, wallMs: 1_500 } })
    expect(error).toMatchObject({ code: 'container.timeout', retryable: true })
    expect(text).toBe('begun\n')
  })

  it('that floods its output is taken as fast as it is read, and nothing of it is kept', async () => {
    const before = process.memoryUsage().rss
    let bytes = 0
    const { end } = await ran('dd if=/dev/zero bs=64k count=3200 2>/dev/null', {}, (chunk) => {
      bytes += chunk.length
    })
    expect(end.exitCode).toBe(0)
    expect(bytes).toBe(3200 * 65_536)
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024)
  })

  it('that closes its output and goes on is waited for', async () => {
    const { end } = await ran('exec >&- 2>&-; sleep 2; echo x > /workspace/later; exit 3')
    expect(end.exitCode).toBe(3)
    expect(existsSync(join(root, 'run/later'))).toBe(true)
  })

  it('takes the place of one that an earlier attempt left, and of no stranger’s', async () => {
    const name = newName()
    const Labels = { 'dev.millrace.server': '1.2.3' }
    const left = await peer.docker.createContainer({ name, Image: peer.busybox, Cmd: ['true'], Labels })
    const { end } = await ran('true', { name })
    expect(end.exitCode).toBe(0)
    await expect(left.inspect()).rejects.toMatchObject({ statusCode: 404 })
    const foreign = await peer.docker.createContainer({ name, Image: peer.busybox, Cmd: ['true'] })
    const { error } = await failed('true', { name })
    expect(error).toMatchObject({ code: 'container.refused', retryable: false })
    await foreign.remove()
  })

  it('whose program is not there says so without the host’s paths', async () => {
    const running = start('', { entrypoint: ['/no/such/program'], command: [] })
    // With a first process of the runtime's own it is that which says so.
    const end = await running.ended.catch((error: Error) => error)
    const told = end instanceof Error ? end.message : `${end.exitCode}: ${running.text()}`
    expect(told).toMatch(/^(127|1|the container cannot be (made|started)): .*(\/no\/such\/program|failed to exec)/s)
    expect(told).not.toContain(root)
  })

  it('whose image is nowhere to be had says so', async () => {
    const pinned = `sha256:${'0'.repeat(64)}`
    const { error } = await failed('true', { image: pinned })
    expect(error).toMatchObject({
      code: 'container.image.unavailable',
      message: `the image ${pinned} is not on this host`,
    })
    const { error: unreachable, progress } = await failed('true', { image: '127.0.0.1:1/nobody/there:1' })
    expect(unreachable).toMatchObject({ code: 'container.image.unavailable', retryable: true })
    expect(unreachable.message).toMatch(/^the image 127.0.0.1:1\/nobody\/there:1 cannot be pulled: /)
    expect(progress).toEqual(['The image 127.0.0.1:1/nobody/there:1 is not here and is pulled'])
  })

  describe.skipIf(peer.kind === 'podman')('whatever is asked for', () => {
    it.each([
      { what: 'the runtime’s own socket', mount: () => ({ source: peer.socket, target: '/sock' }) },
      { what: 'the host’s root', mount: () => ({ source: '/', target: '/host' }) },
      { what: 'all of the folder that it has its own in', mount: () => ({ source: root, target: '/all' }) },
      { what: 'a way out by dots', mount: () => ({ source: `${root}/run/../../../etc`, target: '/x' }) },
      { what: 'a way out by a link', mount: () => ({ source: linkOut(), target: '/x' }) },
      { what: 'what is not there', mount: () => ({ source: join(root, 'absent'), target: '/x' }) },
      { what: 'something over /proc', mount: () => ({ source: join(root, 'job'), target: '/proc/sys' }) },
      { what: 'something over /etc', mount: () => ({ source: join(root, 'job'), target: '/etc' }) },
      { what: 'something over everything', mount: () => ({ source: join(root, 'job'), target: '/' }) },
      { what: 'something by a crooked path', mount: () => ({ source: join(root, 'job'), target: '/x/../proc' }) },
    ])('is never given $what', async ({ mount }) => {
      const { error } = await failed('true', { mounts: [{ ...mount(), readOnly: false }] })
      expect(error).toMatchObject({ code: 'container.refused', retryable: false })
      expect(error.message).not.toContain(root)
      expect(await names(peer)).toEqual([])
    })

    it.each(['SYS_ADMIN', 'cap_sys_ptrace', 'NET_ADMIN', 'NET_RAW', 'SYS_MODULE', 'MKNOD', 'ALL', ''])(
      'never has the capability %j',
      async (capability) => {
        const { error } = await failed('true', { capabilities: [capability] })
        expect(error).toMatchObject({ code: 'container.refused' })
      },
    )
  })

  function start(script: string, wanted: Wanted = {}, onBytes?: (bytes: Buffer) => void) {
    const runtimes = runtimesAt(peer.socket)
    const abort = new AbortController()
    const output: [channel: string, text: string][] = []
    const progress: string[] = []
    const { image = peer.busybox, ...rest } = wanted
    const order = {
      name: newName(),
      labels: { 'dev.millrace.run': 'run_1' },
      entrypoint: ['/bin/sh', '-c'],
      command: [script],
      env: {},
      workdir: '/workspace',
      network: 'none' as const,
      rootfsWritable: false,
      capabilities: [],
      limits: LIMITS,
      ...rest,
      mounts: [{ source: join(root, 'run'), target: '/workspace', readOnly: false }, ...(wanted.mounts ?? [])],
    }
    const onOutput = (channel: string, bytes: Buffer) =>
      onBytes ? onBytes(bytes) : void output.push([channel, bytes.toString('latin1')])
    const run = async (): Promise<ContainerEnd> => {
      const runtime: ContainerRuntime = await runtimes.open()
      const ready = await runtime.ready(image, (message) => void progress.push(message), abort.signal)
      return await runtime.run({ ...order, image: ready }, onOutput, abort.signal)
    }
    const ended = run()
    ended.catch(() => {})
    const of = (channel?: string) => {
      const parts = output.filter(([from]) => channel === undefined || from === channel)
      return Buffer.from(parts.map(([, text]) => text).join(''), 'latin1').toString()
    }
    return { name: order.name, ended, of, text: () => of(), progress, stop: (reason: Error) => abort.abort(reason) }
  }

  async function ran(script: string, wanted: Wanted = {}, onBytes?: (bytes: Buffer) => void) {
    const running = start(script, wanted, onBytes)
    const end = await running.ended
    expect(await names(peer)).toEqual([])
    return { end, text: running.text(), stdout: running.of('stdout') }
  }

  async function failed(script: string, wanted: Wanted = {}) {
    const running = start(script, wanted)
    const error = await running.ended.then(
      (end) => expect.fail(`it ended with ${end.exitCode}: ${running.text()}`),
      (failure: unknown) => failure,
    )
    expect(error).toBeInstanceOf(ContainerError)
    return { error: error as ContainerError, text: running.text(), progress: running.progress }
  }
})

const docker = peers.find(({ kind }) => kind === 'docker')

describe.skipIf(!docker)('a runtime', () => {
  const peer = docker as NonNullable<typeof docker>

  it('fetches what is not here, once, with word of it, and by its digest where it has one', async () => {
    const registry = await startRegistry()
    try {
      const first = await run({ image: `${registry.name}:1` })
      // Every two seconds it says how far it is.
      expect(first.progress.filter((line) => !/^Pulling \S+: \d+ of \d+ layers$/.test(line))).toEqual([
        `The image ${registry.name}:1 is not here and is pulled`,
        `The image ${registry.name}:1 was pulled`,
      ])
      // As the image has it.
      expect(first.text).toBe('1234\n')
      const asked = registry.asked.length
      expect(await run({ image: `${registry.name}:1` })).toMatchObject({ progress: [], text: '1234\n' })
      expect(await run({ image: `${registry.name}:9@${registry.digest}` })).toMatchObject({ progress: [] })
      expect(registry.asked).toHaveLength(asked)
      const other = `${registry.name}@sha256:${'1'.repeat(64)}`
      await expect(run({ image: other })).rejects.toMatchObject({ code: 'container.image.unavailable' })
    } finally {
      await registry.stop()
    }
  })

  it('that is killed in mid-run is lost, and may be asked again when it is back', async () => {
    const runtimes = runtimesAt(peer.socket)
    const abort = new AbortController()
    const seen: string[] = []
    const runtime = await runtimes.open()
    const image = await runtime.ready(peer.busybox, () => {}, abort.signal)
    const order = { ...PLAIN, name: newName(), image, command: ['echo ready; sleep 1000'] }
    const running = runtime.run(order, (_, bytes) => void seen.push(String(bytes)), abort.signal)
    running.catch(() => {})
    await vi.waitUntil(() => seen.join('') === 'ready\n', WAIT)
    await peer.kill()
    await peer.restart()
    // It is not there any more, or ended with the runtime; either is no success.
    const end = await running.catch((error: unknown) => error)
    if (end instanceof Error) expect(end).toMatchObject({ code: 'container.runtime.lost' })
    else expect(end).not.toMatchObject({ exitCode: 0 })
    expect(await names(peer)).toEqual([])
    expect((await run({})).text).toBe('65534\n')
  })

  it('lists what this product has started, whoever listed it, and nothing else', async () => {
    const runtime = await runtimesAt(peer.socket).open()
    const Labels = { 'dev.millrace.server': '1.2.3', 'dev.millrace.run': 'run_x' }
    const own = await peer.docker.createContainer({ Image: peer.busybox, Cmd: ['sleep', '1000'], Labels })
    await own.start()
    const foreign = await peer.docker.createContainer({ Image: peer.busybox, Cmd: ['true'] })
    expect(await runtime.owned()).toEqual([{ id: own.id, labels: expect.objectContaining(Labels) }])
    await runtime.remove(own.id)
    await runtime.remove(own.id)
    expect(await runtime.owned()).toEqual([])
    await foreign.remove()
  })

  it('is rid of what servers that are gone, or that lost their runs, have left', async () => {
    const runtime = await runtimesAt(peer.socket).open()
    const here = serverIdentity()
    const gone = here.replace(/\.\d+\.\d+$/, '.4194304.1')
    const elsewhere = here.replace(/^\d+/, '1')
    const begin = async (server: string, run: string) => {
      const Labels = { 'dev.millrace.server': server, 'dev.millrace.run': run }
      const container = await peer.docker.createContainer({ Image: peer.busybox, Cmd: ['sleep', '1000'], Labels })
      await container.start()
      return container.id
    }
    const left = [await begin(gone, 'run_a'), await begin(elsewhere, 'run_idle'), await begin(here, 'run_idle')]
    const kept = [await begin(here, 'run_b'), await begin(elsewhere, 'run_c')]
    const asked: string[][] = []
    const idleRuns = async (runIds: string[]) => {
      asked.push(runIds.toSorted())
      return ['run_idle']
    }
    expect(await removeLeftovers(runtime, idleRuns)).toBe(left.length)
    expect(asked).toEqual([['run_a', 'run_b', 'run_c', 'run_idle']])
    expect((await runtime.owned()).map(({ id }) => id).toSorted()).toEqual(kept.toSorted())
    expect(await removeLeftovers(runtime, async () => [])).toBe(0)
    await Promise.all(kept.map((id) => runtime.remove(id)))
    expect(await removeLeftovers(runtime, () => expect.fail('there is nothing to ask about'))).toBe(0)
  })

  it('is found by its path or address, and not by what Docker’s own client would look at', async () => {
    vi.stubEnv('DOCKER_HOST', 'tcp://127.0.0.1:1')
    try {
      for (const socket of [peer.socket, `unix://${peer.socket}`]) {
        const found = await runtimesAt(socket).find()
        expect(found?.facts).toMatchObject({ kind: 'docker', hasInit: true, isRootless: false })
      }
    } finally {
      vi.unstubAllEnvs()
    }
  })

  async function run({ image: name = peer.busybox, ...wanted }: Wanted) {
    const progress: string[] = []
    let text = ''
    const { signal } = new AbortController()
    const runtime = await runtimesAt(peer.socket).open()
    const image = await runtime.ready(name, (message) => void progress.push(message), signal)
    const onOutput = (_: string, bytes: Buffer) => {
      text += bytes
    }
    await runtime.run({ ...PLAIN, name: newName(), image, ...wanted }, onOutput, signal)
    return { progress, text }
  }
})

describe('where no runtime is', () => {
  it('nothing is pretended', async () => {
    const runtimes = runtimesAt(join(root, 'nobody.sock'))
    expect(await runtimes.find()).toBeUndefined()
    await expect(runtimes.open()).rejects.toMatchObject({
      code: 'container.runtime.unavailable',
      message: 'no container runtime answers at CONTAINER_SOCKET',
    })
  })

  it.each(['http://127.0.0.1:1', 'tcp://127.0.0.1:1'])('at %s neither', async (socket) => {
    expect(await runtimesAt(socket).find()).toBeUndefined()
  })
})

const LIMITS = {
  memoryMb: 64,
  cpus: 1,
  processes: 32,
  openFiles: 256,
  fileMb: 16,
  cpuSeconds: 60,
  wallMs: 60_000,
  graceMs: 10_000,
}

const PLAIN = {
  labels: {},
  entrypoint: ['/bin/sh', '-c'],
  command: ['id -u'],
  env: {},
  workdir: '/',
  mounts: [],
  network: 'none' as const,
  rootfsWritable: false,
  capabilities: [],
  limits: LIMITS,
}

const WAIT = { timeout: 40_000 }

let count = 0

function newName(): string {
  return `run_${process.pid}-${++count}`
}

function runtimesAt(socket: string): ContainerRuntimes {
  return new ContainerRuntimes({ socket }, { roots: [root], onError: (error) => void errors.push(error) })
}

async function names(peer: (typeof peers)[number]): Promise<string[]> {
  return (await peer.docker.listContainers({ all: true })).flatMap(({ Names }) => Names)
}

function processes(): string[] {
  return execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).split('\n')
}

function linkOut(): string {
  const path = join(root, 'link')
  symlinkSync('/etc', path)
  return path
}
