import { writeFile } from 'node:fs/promises'
import { Converter } from '@apiture/openapi-down-convert'
import 'reflect-metadata'
import { publishedDocument } from '../src/app/openapi.js'
import { surfaceDocuments } from '../src/platform/openapi/documents.js'

/* Writes the published documents: the master, one per surface, and the master as OpenAPI 3.0.3 for older generators. */

const folder = new URL('../openapi/', import.meta.url)
const master = await publishedDocument()
await write('openapi.json', master)
for (const { file, document } of surfaceDocuments(master)) await write(file, document)
await write(
  'openapi-3.0.json',
  new Converter(structuredClone(master) as never, { convertJsonSchemaComments: true } as never).convert(),
)

async function write(file: string, document: unknown): Promise<void> {
  await writeFile(new URL(file, folder), `${JSON.stringify(document, null, 2)}\n`)
  console.log(`openapi/${file}`)
}
