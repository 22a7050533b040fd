/** What an object's key says. */
export interface ContentAddress {
  sha256: string
  size: number
}

const KEY = /^sha256:([0-9a-f]{64}):(0|[1-9][0-9]{0,15})$/

export function objectKey({ sha256, size }: ContentAddress): string {
  return `sha256:${sha256}:${size}`
}

/** Undefined where the text is no key. */
export function contentAddress(key: string): ContentAddress | undefined {
  const [, sha256, size] = KEY.exec(key) ?? []
  return sha256 === undefined ? undefined : { sha256, size: Number(size) }
}
