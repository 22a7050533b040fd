import { isUtf8 } from 'node:buffer'
import { invalidParams } from '../invalid-params.js'

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * The bytes of an attachment. Without `encoding`, content that is well-formed base64 is taken for it. For types of text it must also
 * decode to text, since short words (`test`) are well-formed base64 by accident.
 */
export function bytesOf(content: string, contentType = '', encoding?: 'base64' | 'text'): Buffer {
  if (encoding === 'text') return Buffer.from(content)
  const compact = content.replace(/\s+/g, '')
  const bytes = BASE64.test(compact) ? Buffer.from(compact, 'base64') : undefined
  if (encoding === 'base64') {
    if (!bytes) throw invalidParams('an attachment is not valid base64')
    return bytes
  }
  const mustBeText = /^text\/|json|xml|csv/i.test(contentType)
  return bytes && (!mustBeText || isText(bytes)) ? bytes : Buffer.from(content)
}

function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && !bytes.some((byte) => byte < 0x09)
}
