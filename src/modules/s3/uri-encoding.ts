import { S3Error } from './s3.errors.js'

const UTF_8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** As AWS encodes in signatures: all but RFC 3986's unreserved characters. */
export function encodeUri(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** The same, but for the slashes of a key. */
export function encodePath(path: string): string {
  return encodeUri(path).replaceAll('%2F', '/')
}

/** Throws `InvalidURI` where it is no percent-encoding of UTF-8. */
export function decodeUri(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new S3Error('InvalidURI')
  }
}

/** Node gives bytes of a request line and of headers as characters; some clients send them as UTF-8, without encoding them. */
export function asUtf8(bytes: string): string {
  if (!/[\x80-\xff]/.test(bytes)) return bytes
  try {
    return UTF_8.decode(Buffer.from(bytes, 'latin1'))
  } catch {
    throw new S3Error('InvalidURI')
  }
}
