import { ContainerError } from './container-error.js'

const NAME = '[a-z0-9]+(?:(?:\\.|_{1,2}|-+)[a-z0-9]+)*'
const HOST =
  '(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::\\d{1,5})?/)?'
const REFERENCE = new RegExp(`^(${HOST}${NAME}(?:/${NAME})*)(?::(\\w[\\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$`)
const ID = /^sha256:[0-9a-f]{64}$/

/** An image as a job names it. */
export interface ImageReference {
  /** As the runtime is asked for it. */
  text: string
  /** What names one content for all time. */
  digest?: string
  /** By its id alone: there is nowhere to pull it from. */
  isId: boolean
}

/**
 * Reads what Docker takes for an image's name, of at most 255 characters. Where it has a digest, the digest is what counts, and its tag is
 * left away; without either it is `latest`, for otherwise a pull would fetch all tags that there are.
 */
export function imageReference(text: string): ImageReference {
  if (ID.test(text)) return { text, digest: text, isId: true }
  const [, name, tag, digest] = (text.length <= 255 && REFERENCE.exec(text)) || []
  if (!name) {
    const shown = JSON.stringify(text.slice(0, 100))
    throw new ContainerError(
      'container.image.invalid',
      `${shown} is no name of an image: write name:tag or name@sha256:…`,
    )
  }
  return { text: digest ? `${name}@${digest}` : `${name}:${tag ?? 'latest'}`, digest, isId: false }
}
