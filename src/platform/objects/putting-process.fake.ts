/* A process that puts objects until it is killed, and says which ones it was told are durable. `node … folder seed` */
import { writeSync } from 'node:fs'
import { EmbeddedObjectStore } from './embedded-object-store.js'
import { numbered } from './numbered-content.fake.js'

const [folder = '', first = '0'] = process.argv.slice(2)
const store = new EmbeddedObjectStore(folder)

async function putAll(from: number): Promise<void> {
  for (let number = from; ; number += 4) {
    const { key } = await store.put({ area: 'run-values', tenantId: 'default' }, numbered(number))
    writeSync(1, `${number} ${key}\n`)
  }
}

await Promise.all([0, 1, 2, 3].map((offset) => putAll(Number(first) + offset)))
