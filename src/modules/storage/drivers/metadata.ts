export type Metadata = Readonly<Record<string, string>>

const PLAIN = /^[\x20-\x7e]*$/
const ENCODED = /^=\?utf-8\?b\?([A-Za-z0-9+/=]*)\?=$/i

/** Values as headers may carry them: what is not plain ASCII is an encoded word of RFC 2047, as Amazon's own tools write it. */
export function writeMetadata(metadata: Metadata = {}): Record<string, string> {
  const plain = (value: string) => PLAIN.test(value) && value === value.trim() && !ENCODED.test(value)
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [
      name,
      plain(value) ? value : `=?UTF-8?B?${Buffer.from(value).toString('base64')}?=`,
    ]),
  )
}

export function readMetadata(metadata: Metadata = {}): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => {
      const word = ENCODED.exec(value)?.[1]
      return [name.toLowerCase(), word === undefined ? value : Buffer.from(word, 'base64').toString()]
    }),
  )
}
