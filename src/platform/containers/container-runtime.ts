import { setTimeout as delay } from 'node:timers/promises'
import type Docker from 'dockerode'
import { serverIdentity } from '../processes/marker.js'
import { answerOf, ContainerError } from './container-error.js'
import type { ContainerEnd, ContainerOrder, OnOutput, ReadyImage } from './container-order.js'
import { createOptions } from './create-options.js'
import { ensureImage, readyImage } from './images.js'
import { Demultiplexer } from './multiplexed.js'
import { allowedCapabilities, allowedMounts } from './restrictions.js'

/** Set on all that this product starts: the server that did. */
export const SERVER_LABEL = 'dev.millrace.server'
export const RUN_LABEL = 'dev.millrace.run'
export const STEP_LABEL = 'dev.millrace.step'
/** One answer of the runtime is waited for no longer than this; a container is asked for again. */
const LOOK_MS = 20_000
/** How long a runtime that went away has to come back. */
const AWAY_MS = 30_000
const RETRY_MS = 500
/** Beyond a container's own grace: the runtime kills what does not end in that, and has so long to do it. */
const KILL_MS = 10_000
const REMOVE_ATTEMPTS = 5

export interface RuntimeFacts {
  kind: 'docker' | 'podman'
  version: string
  hasInit: boolean
  isRootless: boolean
}

/** A container that this product has started, as the runtime lists it. */
export interface OwnedContainer {
  id: string
  labels: Readonly<Record<string, string>>
}

export interface RuntimeParts {
  /** Folders that mounts may come from. */
  roots: readonly string[]
  /** What goes wrong behind a container that has ended. */
  onError(error: unknown): void
}

/** Docker or podman at work: starts containers and sees to it that none is left. */
export class ContainerRuntime {
  constructor(
    private readonly docker: Docker,
    readonly facts: RuntimeFacts,
    private readonly parts: RuntimeParts,
  ) {}

  /** The image, fetched first where it is not here; that it is being fetched is told in words for people. Throws `ContainerError`. */
  async ready(image: string, onProgress: (message: string) => void, signal: AbortSignal): Promise<ReadyImage> {
    signal.throwIfAborted()
    const found = await asking(() => ensureImage(this.docker, image, onProgress, signal))
    const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
    return readyImage(found, this.facts.isRootless, self)
  }

  /**
   * Runs a container to its end and removes it, whatever happens. On abort it is told to stop, has its grace and is killed; then this throws
   * the signal's reason. Throws `ContainerError`.
   */
  async run(order: ContainerOrder, onOutput: OnOutput, signal: AbortSignal): Promise<ContainerEnd> {
    signal.throwIfAborted()
    const capabilities = allowedCapabilities(order.capabilities)
    const mounts = await allowedMounts(order.mounts, this.parts.roots)
    const checked = { ...order, capabilities, mounts }
    const container = await asking(() => this.create(checked), checked)
    try {
      return await this.toItsEnd(container, checked, onOutput, signal)
    } finally {
      await this.remove(container.id)
    }
  }

  async answers(abortSignal: AbortSignal): Promise<boolean> {
    // It takes options, which its types do not know.
    const { ping } = this.docker as unknown as { ping(options: object): Promise<unknown> }
    return await ping.call(this.docker, { abortSignal }).then(
      () => true,
      () => false,
    )
  }

  /** All that this product has started, on this runtime, whichever server did it. */
  async owned(): Promise<OwnedContainer[]> {
    const listed = await this.docker.listContainers({ all: true, filters: { label: [SERVER_LABEL] } })
    return listed.map(({ Id: id, Labels: labels }) => ({ id, labels: labels ?? {} }))
  }

  /** Ends it first where it still runs. One that is gone, or on its way, is as good as removed. */
  async remove(id: string): Promise<void> {
    for (let attempt = 1; ; attempt++)
      try {
        return await this.docker.getContainer(id).remove({ force: true, v: true })
      } catch (error) {
        const { status, message } = answerOf(error)
        if (status === 404 || (status === 409 && /already in progress/.test(message))) return
        // Whoever waits for the container's end is not told: it is found by its label later.
        if (attempt === REMOVE_ATTEMPTS) return this.parts.onError(error)
        await delay(RETRY_MS)
      }
  }

  private async create(order: ContainerOrder): Promise<Docker.Container> {
    const labels = { ...order.labels, [SERVER_LABEL]: serverIdentity() }
    const options = createOptions({ ...order, labels }, this.facts.hasInit)
    for (let attempt = 1; ; attempt++)
      try {
        return await this.docker.createContainer(options)
      } catch (error) {
        // podman has no status of its own for it.
        const { status, message } = answerOf(error)
        const isTaken = status === 409 || /name .* is already in use/.test(message)
        if (!isTaken || attempt === REMOVE_ATTEMPTS) throw error
        await this.removeEarlier(order.name)
      }
  }

  /** Of an attempt whose server is gone, or has lost the run. Someone else's container of this name stays. */
  private async removeEarlier(name: string): Promise<void> {
    try {
      const { Id, Config } = await this.docker.getContainer(name).inspect()
      if (Config.Labels?.[SERVER_LABEL] === undefined) {
        throw new ContainerError('container.refused', `the name ${name} belongs to a container that no job has started`)
      }
      await this.remove(Id)
    } catch (error) {
      if (answerOf(error).status !== 404) throw error
    }
  }

  private async toItsEnd(
    container: Docker.Container,
    order: ContainerOrder,
    onOutput: OnOutput,
    signal: AbortSignal,
  ): Promise<ContainerEnd> {
    signal.throwIfAborted()
    const output = await asking(() => container.attach({ stream: true, stdout: true, stderr: true }), order)
    const reading = readOutput(output, onOutput)
    // Waited for below; what fails meanwhile is told of there.
    reading.catch(() => {})
    const late = new ContainerError('container.timeout', `the container ran for longer than ${order.limits.wallMs} ms`)
    const limit = new AbortController()
    const stop = () => void this.stop(container, order.limits.graceMs)
    const either = AbortSignal.any([signal, limit.signal])
    let timer: NodeJS.Timeout | undefined
    try {
      await this.start(container, order)
      timer = setTimeout(() => limit.abort(late), order.limits.wallMs)
      either.addEventListener('abort', stop, { once: true })
      if (either.aborted) stop()
      // It closes with the container's end, or with the runtime's; where the container closed it itself, it runs on.
      await reading
      const end = await this.ended(container)
      signal.throwIfAborted()
      limit.signal.throwIfAborted()
      return end
    } finally {
      clearTimeout(timer)
      either.removeEventListener('abort', stop)
      ;(output as unknown as { destroy(): void }).destroy()
    }
  }

  private async start(container: Docker.Container, order: ContainerOrder): Promise<void> {
    try {
      await container.start()
    } catch (error) {
      const { status, message } = answerOf(error)
      if (status === undefined) throw lost(error)
      throw new ContainerError(
        'container.start.failed',
        `the container cannot be started: ${inWords(message, order)}`,
        { cause: error },
      )
    }
  }

  private async ended(container: Docker.Container): Promise<ContainerEnd> {
    for (let awaySince: number | undefined; ; ) {
      try {
        const { State, HostConfig } = await container.inspect({ abortSignal: AbortSignal.timeout(LOOK_MS) })
        awaySince = undefined
        if (!State.Running && !State.Paused && State.Status !== 'created') {
          // podman does not tell that it was for memory: it is what kills one that has a limit and was not told to stop.
          const isKilled = this.facts.kind === 'podman' && State.ExitCode === 137 && HostConfig.Memory !== 0
          return { exitCode: State.ExitCode, outOfMemory: State.OOMKilled || isKilled }
        }
        await container.wait({ abortSignal: AbortSignal.timeout(LOOK_MS) }).catch(() => {})
      } catch (error) {
        if (answerOf(error).status === 404) {
          throw new ContainerError('container.runtime.lost', 'the container was removed while it ran', { cause: error })
        }
        awaySince ??= performance.now()
        if (performance.now() - awaySince > AWAY_MS) throw lost(error)
        await delay(RETRY_MS)
      }
    }
  }

  /** TERM, and KILL where that is not enough; the runtime sees to it also where this server is not there to. */
  private async stop(container: Docker.Container, graceMs: number): Promise<void> {
    try {
      const abortSignal = AbortSignal.timeout(graceMs + KILL_MS)
      await container.stop({ t: Math.ceil(graceMs / 1_000), abortSignal })
    } catch (error) {
      const { status } = answerOf(error)
      // It has ended meanwhile.
      if (status === 304 || status === 404) return
      await this.remove(container.id)
    }
  }
}

async function asking<T>(ask: () => Promise<T>, order?: ContainerOrder): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof ContainerError || (error as Error).name === 'AbortError') throw error
    const { status, message } = answerOf(error)
    if (status === undefined) throw lost(error)
    throw new ContainerError('container.start.failed', `the container cannot be made: ${inWords(message, order)}`, {
      cause: error,
    })
  }
}

async function readOutput(output: NodeJS.ReadableStream, onOutput: OnOutput): Promise<void> {
  const frames = new Demultiplexer()
  const chunks = output[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  for (;;) {
    // Cut off with the runtime: what became of the container is asked later.
    const { value, done } = await chunks.next().catch(() => ({ value: undefined, done: true }))
    if (done || !value) return
    for (const { channel, bytes } of frames.take(value)) await onOutput(channel, bytes)
  }
}

function lost(cause: unknown): ContainerError {
  return new ContainerError('container.runtime.lost', 'the container runtime does not answer any more', { cause })
}

/** Without the host's paths, which are nothing of the author's. */
function inWords(message: string, order?: ContainerOrder): string {
  let words = message
  for (const { source, target } of order?.mounts ?? []) words = words.replaceAll(source, target)
  return words.trim().slice(0, 1_000)
}
