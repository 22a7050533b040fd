import type Docker from 'dockerode'
import { answerOf, ContainerError } from './container-error.js'
import type { Owner, ReadyImage } from './container-order.js'
import { imageReference } from './image-reference.js'

/** Between two words about a pull that goes on. */
const PROGRESS_MS = 2_000

/** On Debian and most others. */
const NOBODY = 65_534

interface FoundImage {
  id: string
  /** Such as `1000`, `1000:1000` or `node`; empty: root. */
  user: string
}

/**
 * As whom the programs of an image run. Never as root, where it can be: a server that is root runs them as the user that the image is made
 * for, where that is a number, and else as nobody; for what they write must be given to somebody, and a name is known inside of the image
 * alone. Any other server runs them as itself. With a runtime that belongs to an ordinary user, root in a container is that user.
 */
export function readyImage({ id, user }: FoundImage, isRootless: boolean, self: Owner): ReadyImage {
  if (isRootless) return { id, user: { uid: 0, gid: 0 } }
  if (self.uid !== 0) return { id, user: self }
  const [, uid = '', gid = uid] = /^(\d{1,9})(?::(\d{1,9}))?$/.exec(user) ?? []
  const owner = Number(uid) > 0 ? { uid: Number(uid), gid: Number(gid) } : { uid: NOBODY, gid: NOBODY }
  return { id, user: owner, owner }
}

/** The image, fetched first where it is not here yet. */
export async function ensureImage(
  docker: Docker,
  name: string,
  onProgress: (message: string) => void,
  signal: AbortSignal,
): Promise<FoundImage> {
  const { text, isId } = imageReference(name)
  const here = await inspect(docker, text)
  if (here) return here
  if (isId) throw new ContainerError('container.image.unavailable', `the image ${text} is not on this host`)
  onProgress(`The image ${text} is not here and is pulled`)
  await pull(docker, text, onProgress, signal)
  const pulled = await inspect(docker, text)
  if (!pulled) throw new ContainerError('container.image.unavailable', `the image ${text} was pulled and is not there`)
  onProgress(`The image ${text} was pulled`)
  return pulled
}

async function inspect(docker: Docker, text: string): Promise<FoundImage | undefined> {
  try {
    const { Id, Config } = await docker.getImage(text).inspect()
    return { id: Id, user: Config?.User ?? '' }
  } catch (error) {
    if (answerOf(error).status !== 404) throw error
    return undefined
  }
}

interface PullEvent {
  status?: string
  id?: string
  error?: string
  progressDetail?: { current?: number; total?: number }
}

async function pull(docker: Docker, text: string, onProgress: (message: string) => void, signal: AbortSignal) {
  const progress = new PullProgress(text, onProgress)
  try {
    const stream = await docker.pull(text, { abortSignal: signal })
    // An error in mid-stream comes as an event, and the request's signal does not end a stream that has begun.
    const stop = () => (stream as unknown as { destroy(): void }).destroy()
    signal.addEventListener('abort', stop, { once: true })
    try {
      await new Promise<void>((resolve, reject) => {
        stream.once('close', () => reject(new Error('the runtime broke the pull off')))
        const finished = (error: Error | null) => (error ? reject(error) : resolve())
        docker.modem.followProgress(stream, finished, (event: PullEvent) => {
          if (event.error) reject(new Error(event.error))
          else progress.take(event)
        })
      })
    } finally {
      signal.removeEventListener('abort', stop)
    }
  } catch (error) {
    signal.throwIfAborted()
    const { message } = answerOf(error)
    throw new ContainerError('container.image.unavailable', `the image ${text} cannot be pulled: ${message}`, {
      cause: error,
    })
  }
}

/** Says now and then how many of an image's layers are there, instead of each of the runtime's many words. */
class PullProgress {
  private readonly layers = new Map<string, boolean>()
  private saidAt = performance.now()

  constructor(
    private readonly image: string,
    private readonly onProgress: (message: string) => void,
  ) {}

  take({ id, status = '', progressDetail }: PullEvent): void {
    if (!id || id.length > 64) return
    if (/complete|exists/i.test(status)) this.layers.set(id, true)
    else if (progressDetail && /^(pulling fs|waiting|downloading|extracting)/i.test(status)) this.layers.set(id, false)
    if (performance.now() - this.saidAt < PROGRESS_MS) return
    this.saidAt = performance.now()
    const done = [...this.layers.values()].filter(Boolean).length
    this.onProgress(`Pulling ${this.image}: ${done} of ${this.layers.size} layers`)
  }
}
