import type { Json } from '../platform/json.js'

/** A response as steps show it. */
export interface HttpAnswer {
  status: number
  headers: Record<string, string[]>
  contentType: string
  contentLength: number
  /** Parsed where it is JSON, else as `rawBody`. */
  body: Json
  rawBody: string
  /** Set where the body is no text; `rawBody` then holds it in base64. */
  bodyEncoding?: 'base64'
  bytes: Buffer
}

export async function readAnswer(response: Response): Promise<HttpAnswer> {
  const bytes = Buffer.from(await response.arrayBuffer())
  const contentType = response.headers.get('content-type') ?? ''
  const text = asText(bytes, contentType)
  const rawBody = text ?? bytes.toString('base64')
  return {
    status: response.status,
    headers: headersOf(response.headers),
    contentType,
    contentLength: bytes.length,
    body: text === undefined ? rawBody : parsed(text, contentType),
    rawBody,
    bodyEncoding: text === undefined ? 'base64' : undefined,
    bytes,
  }
}

/** Names in the spelling that HTTP/1.1 servers and Go programs write, such as `Content-Type`; each with the list of its values. */
function headersOf(headers: Headers): Record<string, string[]> {
  const lists: Record<string, string[]> = {}
  for (const [name, value] of headers) {
    if (name !== 'set-cookie') lists[canonicalName(name)] = [value]
  }
  const cookies = headers.getSetCookie()
  if (cookies.length > 0) lists['Set-Cookie'] = cookies
  return lists
}

function canonicalName(name: string): string {
  return name.replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase())
}

/** The text of a body, or undefined where it is none: not valid in its charset, or with a NUL, which no text holds. */
function asText(bytes: Buffer, contentType: string): string | undefined {
  const charset = /;\s*charset="?([^\s;"]+)/i.exec(contentType)?.[1] ?? 'utf-8'
  try {
    const text = new TextDecoder(charset, { fatal: true }).decode(bytes)
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined
  }
}

/** JSON where the type says so; where it says nothing or plain text, what looks like an object or a list and parses as one. */
function parsed(text: string, contentType: string): Json {
  const declared = /^[^;]*[/+]json\b/i.test(contentType)
  const likely = /^(\s*$|text\/plain\b)/i.test(contentType) && /^\s*[{[]/.test(text)
  if (!declared && !likely) return text
  try {
    return JSON.parse(text) as Json
  } catch {
    return text
  }
}
