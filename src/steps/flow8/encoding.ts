import { isUtf8 } from 'node:buffer'
import { StepError, type StepType } from '../../engine/step.js'
import { isJsonObject, type Json, type JsonObject, type JsonSchema } from '../../platform/json.js'
import { MAX_TEXT } from './limits.js'

/** The modules that turn text into base64 or into a part of a URL, and back. */
export function encodings(): StepType[] {
  return [
    encoding('base64-encode', 'Encode as base64', 'Writes text in base64.', toBase64, {
      input: INPUT,
      urlSafe: {
        type: 'boolean',
        description: 'Uses - and _ instead of + and /, and no padding.',
        default: false,
        examples: [true],
      },
    }),
    encoding(
      'base64-decode',
      'Decode base64',
      'Reads the text that is written in base64, of either alphabet.',
      fromBase64,
      {
        input: { ...TEXT, description: 'Text in base64.', examples: ['SGVsbG8='] },
        as: {
          enum: ['text', 'hex'],
          description: 'How to put out the bytes: as the text that they are in UTF-8, or in hexadecimal digits.',
          default: 'text',
        },
      },
    ),
    encoding(
      'url-encode',
      'Encode for a URL',
      'Writes text so that it can stand in a URL, or an object as a query.',
      toUrl,
      {
        input: { ...INPUT, examples: ['a b&c', { q: 'a b', page: 2 }] },
      },
    ),
    encoding('url-decode', 'Decode from a URL', 'Reads text that was written for a URL.', fromUrl, {
      input: { ...TEXT, description: 'Text as it stands in a URL; a plus is a blank.', examples: ['a%20b%26c'] },
    }),
  ]
}

function encoding(
  name: string,
  title: string,
  summary: string,
  turn: (params: JsonObject) => string,
  properties: JsonSchema,
): StepType {
  return {
    name,
    title,
    category: 'data',
    summary,
    stepClass: 'pure',
    params: { type: 'object', additionalProperties: false, required: ['input'], properties },
    output: OUTPUT,
    async run(params) {
      return { output: { result: turn(params) } }
    },
  }
}

function toBase64({ input, urlSafe }: JsonObject): string {
  return Buffer.from(textOf(input)).toString(urlSafe === true ? 'base64url' : 'base64')
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

function fromBase64({ input, as }: JsonObject): string {
  const compact = String(input).replace(/\s+/g, '').replaceAll('-', '+').replaceAll('_', '/')
  const digits = compact.replace(/=+$/, '').length
  if (!BASE64.test(compact) || digits % 4 === 1) throw unreadable('the input is not base64')
  const bytes = Buffer.from(compact, 'base64')
  if (as === 'hex') return bytes.toString('hex')
  if (!isUtf8(bytes)) throw unreadable('what is decoded is no text: ask for it as hex')
  return bytes.toString()
}

function toUrl({ input }: JsonObject): string {
  return isJsonObject(input) ? query(input) : escaped(textOf(input))
}

function query(members: JsonObject): string {
  return Object.entries(members)
    .flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((one) => [name, textOf(one)]))
    .map((pair) => pair.map((text) => escaped(String(text))).join('='))
    .join('&')
}

/** All but letters, digits and - _ . ~ (RFC 3986). */
function escaped(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function fromUrl({ input }: JsonObject): string {
  try {
    return decodeURIComponent(String(input).replaceAll('+', ' '))
  } catch {
    throw unreadable('the input is not written as a URL has it')
  }
}

/** Text as it is, anything else as JSON. */
function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? null)
}

function unreadable(message: string): StepError {
  return new StepError(message, { code: 'unreadable', retryable: false })
}

const TEXT = { type: 'string', maxLength: MAX_TEXT }

const INPUT = {
  type: ['string', 'number', 'boolean', 'object', 'array', 'null'],
  maxLength: MAX_TEXT,
  description: 'What to encode: text, or anything else as JSON.',
  examples: ['Hello'],
}

const OUTPUT = {
  type: 'object',
  additionalProperties: false,
  required: ['result'],
  properties: { result: { type: 'string', description: 'The text that it came to.' } },
}
