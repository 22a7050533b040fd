import type { INestApplication } from '@nestjs/common'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { dialects } from '../../src/dialects/index.js'
import { type AsyncDocument, asyncDocument } from '../../src/platform/openapi/asyncapi.js'
import { walk } from '../../src/platform/openapi/schemas.js'

/** The published AsyncAPI document as a judge of messages: an unpublished type or member is a fault. */
export class PublishedMessages {
  private readonly ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: true })
  private readonly validators = new Map<string, ValidateFunction<unknown>>()

  constructor(readonly document: AsyncDocument) {
    formats.default(this.ajv)
    const copy = structuredClone(document)
    walk(copy.components.schemas, (node) => {
      if (node.type === 'object' && node.properties && node.additionalProperties === undefined)
        node.additionalProperties = false
    })
    this.ajv.addSchema({ $id: 'published', ...copy })
  }

  /** What is wrong with a message on the channel at `address`; empty when it is as published. `type` is for those that do not say it. */
  faults(address: string, message: { type: string }, type = message.type): string[] {
    const channel = Object.values(this.document.channels).find((one) => one.address === address)
    const id = channel?.messages[type]?.$ref.split('/').at(-1) ?? ''
    const payload = this.document.components.messages[id]?.payload.$ref
    if (!payload) return [`${address} does not publish messages of type '${type}'`]
    const validate = this.validators.get(payload) ?? this.ajv.compile({ $ref: `published${payload}` })
    this.validators.set(payload, validate)
    if (validate(message)) return []
    return (validate.errors ?? []).map(
      ({ instancePath, message: said, params }) =>
        `${type}: ${instancePath || '/'} ${said} ${JSON.stringify(params)} in ${JSON.stringify(message)}`,
    )
  }
}

const known = new WeakMap<INestApplication, PublishedMessages>()

export function published(app: INestApplication): PublishedMessages {
  const messages = known.get(app) ?? new PublishedMessages(asyncDocument(app, dialects))
  known.set(app, messages)
  return messages
}
