import { writeFile } from 'node:fs/promises'
import { Converter } from '@apiture/openapi-down-convert'
import { stringify } from 'yaml'
import 'reflect-metadata'
import { publishedDocuments } from '../src/app/openapi.js'
import type { Document } from '../src/platform/openapi/document.js'
import { surfaceDocuments } from '../src/platform/openapi/documents.js'
import { walk } from '../src/platform/openapi/schemas.js'

/* Writes the published documents: the master, one per surface, the master as OpenAPI 3.0.3 for older generators, and AsyncAPI. */

const { openapi: master, asyncapi } = await publishedDocuments()
await write('openapi/openapi.json', json(master))
for (const { file, document } of surfaceDocuments(master)) await write(`openapi/${file}`, json(document))
await write('openapi/openapi-3.0.json', json(twin(master)))
await write('asyncapi/asyncapi.yaml', stringify(asyncapi, { aliasDuplicateObjects: false, lineWidth: 0 }))

/** The converter leaves what stands beside a `$ref`, which OpenAPI 3.0 wants wrapped, and null as one of several types, which it does not know. */
function twin(document: Document): object {
  const converted = new Converter(structuredClone(document) as never).convert()
  walk(converted, (node) => {
    // Files have no length that a generator could check: Go's compares them as texts.
    if (node.format === 'binary') {
      delete node.minLength
      delete node.maxLength
    }
    const [named, none] = Array.isArray(node.anyOf) ? node.anyOf : []
    if (typeof named?.$ref === 'string' && none?.type === 'null') {
      const { type = 'object' } = document.components.schemas[named.$ref.split('/').at(-1)] ?? {}
      node.anyOf = [named, { type, nullable: true, enum: [null] }]
      return
    }
    if (typeof node.$ref !== 'string' || Object.keys(node).length === 1) return
    node.allOf = [{ $ref: node.$ref }]
    delete node.$ref
  })
  return converted
}

function json(document: unknown): string {
  return `${JSON.stringify(document, null, 2)}\n`
}

async function write(file: string, text: string): Promise<void> {
  await writeFile(new URL(`../${file}`, import.meta.url), text)
  console.log(file)
}
