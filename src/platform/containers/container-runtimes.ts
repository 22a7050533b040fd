import { existsSync } from 'node:fs'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type Docker from 'dockerode'
import { ContainerError } from './container-error.js'
import { ContainerRuntime, type RuntimeFacts, type RuntimeParts } from './container-runtime.js'

/** How long a runtime has to answer that it is there; podman on a busy host takes seconds. */
const PROBE_MS = 10_000
/** How long its answer counts, or its silence. */
const FRESH_MS = 5_000

export interface RuntimePlaces {
  /** A path, `unix:///path`, or an address with http(s). Undefined: where podman and Docker are usually found, podman first. */
  socket?: string
  /** The folder of an ordinary user's sockets. */
  runtimeDir?: string
}

/** Finds the container runtime of this host, and notices when it goes and comes. */
export class ContainerRuntimes {
  private found?: { runtime: ContainerRuntime | undefined; address: string; at: number }
  private looking?: Promise<ContainerRuntime | undefined>

  constructor(
    private readonly places: RuntimePlaces,
    private readonly parts: RuntimeParts,
  ) {}

  /** Throws `ContainerError` where none answers. */
  async open(): Promise<ContainerRuntime> {
    const runtime = await this.find()
    if (runtime) return runtime
    throw new ContainerError(
      'container.runtime.unavailable',
      this.places.socket
        ? 'no container runtime answers at CONTAINER_SOCKET'
        : 'no container runtime answers: neither podman nor Docker was found on this host',
    )
  }

  /** The one that answers now, or did a moment ago. */
  async find(): Promise<ContainerRuntime | undefined> {
    if (this.found && performance.now() - this.found.at < FRESH_MS) return this.found.runtime
    this.looking ??= this.look().finally(() => {
      this.looking = undefined
    })
    return await this.looking
  }

  private async look(): Promise<ContainerRuntime | undefined> {
    for (const address of this.addresses()) {
      const runtime = await this.runtimeAt(address).catch(() => undefined)
      if (!runtime) continue
      this.found = { runtime, address, at: performance.now() }
      return runtime
    }
    this.found = { runtime: undefined, address: '', at: performance.now() }
    return undefined
  }

  /** One that is known is only asked whether it is there: podman takes half a second to tell all about itself. */
  private async runtimeAt(address: string): Promise<ContainerRuntime | undefined> {
    const abortSignal = AbortSignal.timeout(PROBE_MS)
    const { found } = this
    if (found?.runtime && found.address === address) {
      if (await found.runtime.answers(abortSignal)) return found.runtime
    }
    if (isPath(address) && !existsSync(pathOf(address))) return undefined
    // Tens of megabytes, which a host without a runtime is spared.
    const { default: Client } = await import('dockerode')
    const docker = new Client(connection(address))
    return new ContainerRuntime(docker, await factsOf(docker, abortSignal), this.parts)
  }

  private addresses(): string[] {
    const { socket, runtimeDir } = this.places
    if (socket) return [socket]
    const ofUser = runtimeDir ? [`${runtimeDir}/podman/podman.sock`] : []
    return ['/run/podman/podman.sock', ...ofUser, '/var/run/docker.sock']
  }
}

/**
 * Everything is said, because docker-modem asks the environment for what is not (DOCKER_HOST, DOCKER_CERT_PATH, DOCKER_CLIENT_TIMEOUT), and
 * what it finds there would count more than a path. A connection serves one request: one that a restarted runtime has closed is no use.
 */
function connection(address: string): Docker.DockerOptions & { agent: HttpAgent } {
  const none = { host: undefined, port: undefined, ca: undefined, cert: undefined, key: undefined, timeout: 0 }
  if (isPath(address)) return { ...none, protocol: 'http', socketPath: pathOf(address), agent: new HttpAgent() }
  const url = new URL(address.replace(/^tcp:/, 'http:'))
  const isSecure = url.protocol === 'https:'
  return {
    ...none,
    protocol: isSecure ? 'https' : 'http',
    host: url.hostname,
    port: url.port || (isSecure ? 2376 : 2375),
    agent: isSecure ? new HttpsAgent() : new HttpAgent(),
  }
}

function isPath(address: string): boolean {
  return !/^(https?|tcp):/.test(address)
}

function pathOf(address: string): string {
  return address.replace(/^unix:\/\//, '')
}

/** Where podman finds the first process that it gives to containers; it does not tell whether it has. */
const CATATONIT = ['/usr/libexec/podman/catatonit', '/usr/lib/podman/catatonit', '/usr/bin/catatonit']

interface Version {
  Version: string
  Components?: { Name: string }[]
}

interface Info {
  SecurityOptions?: string[]
  Rootless?: boolean
}

async function factsOf(docker: Docker, abortSignal: AbortSignal): Promise<RuntimeFacts> {
  // They take options, which their types do not know.
  const { version: asked, info: told } = docker as unknown as Record<
    'version' | 'info',
    (options: object) => Promise<object>
  >
  const version = (await asked.call(docker, { abortSignal })) as Version
  const info = (await told.call(docker, { abortSignal })) as Info
  const parts = (version.Components ?? []).map(({ Name }) => Name)
  const kind = parts.some((name) => /podman/i.test(name)) ? 'podman' : 'docker'
  return {
    kind,
    version: version.Version,
    hasInit: kind === 'docker' ? parts.includes('docker-init') : CATATONIT.some((path) => existsSync(path)),
    isRootless: info.Rootless === true || (info.SecurityOptions ?? []).some((option) => option.includes('rootless')),
  }
}
