import { S3Error } from './s3.errors.js'
import type { S3Request } from './s3-request.js'
import { decodeUri } from './uri-encoding.js'
import type { XmlElement } from './xml.js'

const MOST_TAGS = 10
const LONGEST_KEY = 128
const LONGEST_VALUE = 256

/** Of the header or parameter `x-amz-tagging`: `key=value&key=value`, encoded as a query. */
export function tagsOf(text: string | undefined): Record<string, string> {
  const pairs = (text ?? '').split('&').filter((pair) => pair !== '')
  return checkedTags(
    pairs.map((pair) => {
      const [key = '', value = ''] = pair.split(/=(.*)/s).map((part) => decodeUri(part.replaceAll('+', ' ')))
      return [key, value]
    }),
  )
}

/** Of a document `Tagging`. */
export function tagsIn(document: XmlElement): Record<string, string> {
  const [set, ...more] = document.all('TagSet')
  if (!set || more.length > 0) throw new S3Error('MalformedXML')
  return checkedTags(set.all('Tag').map((tag) => [tag.text('Key') ?? '', tag.text('Value') ?? '']))
}

/** Whether a copy brings tags of its own, instead of its source's. */
export function replacesTags({ headers }: S3Request): boolean {
  const directive = headers.get('x-amz-tagging-directive') ?? 'COPY'
  if (directive !== 'COPY' && directive !== 'REPLACE')
    throw new S3Error('InvalidArgument', 'Unknown tagging directive.')
  return directive === 'REPLACE'
}

function checkedTags(pairs: readonly (readonly [key: string, value: string])[]): Record<string, string> {
  if (pairs.length > MOST_TAGS) throw new S3Error('BadRequest', 'Object tags cannot be greater than 10')
  if (new Set(pairs.map(([key]) => key)).size < pairs.length)
    throw new S3Error('InvalidTag', 'Cannot provide multiple Tags with the same key')
  for (const [key, value] of pairs) {
    if (key === '' || key.length > LONGEST_KEY || /\p{Cc}/u.test(key) || !key.isWellFormed())
      throw new S3Error('InvalidTag', 'The TagKey you have provided is invalid')
    if (value.length > LONGEST_VALUE || /\p{Cc}/u.test(value) || !value.isWellFormed())
      throw new S3Error('InvalidTag', 'The TagValue you have provided is invalid')
  }
  return Object.fromEntries(pairs)
}
