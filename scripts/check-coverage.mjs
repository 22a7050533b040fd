/* `npm run check:coverage`, after `npm test`: every operation was reached, and every status that it documents was seen. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'

const notes = new URL('../coverage/api/', import.meta.url)
const document = JSON.parse(readFileSync(new URL('../openapi/openapi.json', import.meta.url), 'utf8'))

const files = existsSync(notes) ? readdirSync(notes) : []
const seen = new Set(files.flatMap((file) => readFileSync(new URL(file, notes), 'utf8').split('\n')))
const documented = Object.values(document.paths)
  .flatMap((path) => Object.values(path))
  .flatMap(({ operationId, responses }) => Object.keys(responses).map((status) => `${operationId}\t${status}`))
const unseen = documented.filter((one) => !seen.has(one))

if (files.length === 0) console.error('no HTTP test has left notes: run npm test first')
else if (unseen.length > 0) console.error(`documented, but never answered in a test:\n${unseen.join('\n')}`)
else console.log(`all ${documented.length} documented statuses were seen`)
process.exitCode = files.length > 0 && unseen.length === 0 ? 0 : 1
