/** An image of a registry, as `host[:port]/name[:tag][@digest]` names it. */
export interface ImageReference {
  /** With the port where it has one. */
  host: string
  name: string
  /** What its manifest is asked for by. */
  reference: string
  /** The digest in hex that what is got has to have; null where the tag may be moved. */
  sha256: string | null
}

const PART = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*'
const IMAGE = new RegExp(
  `^((?:[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\\[[0-9a-fA-F:]{2,45}\\])(?::\\d{1,5})?)/(${PART}(?:/${PART})*)(?::(\\w[\\w.-]{0,127}))?(?:@sha256:([0-9a-f]{64}))?$`,
)

/** Undefined where it is none. The registry has to be named: an image without one means another to each program. */
export function imageOf(text: string): ImageReference | undefined {
  const [, host, name, tag, digest] = IMAGE.exec(text) ?? []
  if (!host || !name || name.length > 255 || !/[.:]|^localhost$/.test(host)) return undefined
  return { host, name, reference: digest ? `sha256:${digest}` : (tag ?? 'latest'), sha256: digest ?? null }
}

export function shownImage({ host, name, reference, sha256 }: ImageReference): string {
  return `${host}/${name}${sha256 === null ? ':' : '@'}${reference}`
}
