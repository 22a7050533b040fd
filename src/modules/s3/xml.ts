import { XMLBuilder, XMLParser, XMLValidator } from 'fast-xml-parser'
import { S3Error } from './s3.errors.js'

const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/'

/** Elements by name; a list repeats its element, undefined leaves it out. */
export type XmlContent =
  | string
  | number
  | boolean
  | { readonly [name: string]: XmlContent | readonly XmlContent[] | undefined }

/** Entities are ours to resolve: five names and the numbers of characters. Nothing a document declares is expanded. */
const parser = new XMLParser({
  ignoreAttributes: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
  removeNSPrefix: true,
  parseTagValue: false,
  trimValues: false,
  processEntities: false,
  cdataPropName: '#cdata',
})

const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  processEntities: false,
  tagValueProcessor: (_, value) => escaped(String(value)),
})

/** A document with this root. */
export function xmlDocument(root: string, content: XmlContent): string {
  const attributed =
    typeof content === 'object' ? { '@xmlns': NAMESPACE, ...content } : { '@xmlns': NAMESPACE, '#text': content }
  return `<?xml version="1.0" encoding="UTF-8"?>\n${builder.build({ [root]: attributed })}`
}

/** S3's errors have no namespace. */
export function errorDocument(content: XmlContent): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${builder.build({ Error: content })}`
}

/** What cannot stand in XML 1.0 is written as a reference, as S3 does; who wants to read it asks for `encoding-type=url`. */
function escaped(text: string): string {
  return text.replace(/[&<>"\ufffe\uffff]|(?![\t\n])\p{Cc}/gu, (one) => {
    const named = NAMED[one]
    return named ? `&${named};` : `&#x${one.charCodeAt(0).toString(16)};`
  })
}

const NAMED: Readonly<Record<string, string>> = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot' }
const CHARACTERS: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** One element that was sent. */
export class XmlElement {
  constructor(private readonly node: unknown) {}

  /** Throws `MalformedXML` where there is more than one, or it holds elements. */
  text(name: string): string | undefined {
    const value = this.member(name)
    if (value === undefined) return undefined
    if (typeof value !== 'string') throw new S3Error('MalformedXML')
    return unescaped(value)
  }

  all(name: string): XmlElement[] {
    const value = this.member(name)
    return value === undefined ? [] : [value].flat().map((one) => new XmlElement(one))
  }

  private member(name: string): unknown {
    const { node } = this
    return typeof node === 'object' && node !== null && Object.hasOwn(node, name)
      ? (node as Record<string, unknown>)[name]
      : undefined
  }
}

/** The root of a document, which has to be called so. Throws `MalformedXML`. */
export function parseXml(bytes: Buffer, root: string): XmlElement {
  const text = bytes.toString('utf8')
  if (/<!(DOCTYPE|ENTITY)/i.test(text) || XMLValidator.validate(text) !== true) throw new S3Error('MalformedXML')
  let parsed: Record<string, unknown>
  try {
    parsed = parser.parse(text)
  } catch {
    throw new S3Error('MalformedXML')
  }
  if (!Object.hasOwn(parsed, root) || Array.isArray(parsed[root])) throw new S3Error('MalformedXML')
  return new XmlElement(parsed[root])
}

function unescaped(text: string): string {
  return text.replace(/&([^;&]{0,12});?/g, (whole, name: string) => {
    const [, hex, decimal] = /^#(?:x([0-9a-f]+)|(\d+))$/i.exec(name) ?? []
    const code = hex ? Number.parseInt(hex, 16) : decimal ? Number(decimal) : undefined
    const known = code === undefined ? CHARACTERS[name] : characterOf(code)
    if (known === undefined || !whole.endsWith(';')) throw new S3Error('MalformedXML')
    return known
  })
}

function characterOf(code: number): string | undefined {
  return code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : undefined
}
