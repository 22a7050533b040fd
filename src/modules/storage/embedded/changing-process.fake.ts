/* A process that changes objects until it is killed, and says before and after each change. `node … databaseUrl folder seed` */
import { writeSync } from 'node:fs'
import { Readable } from 'node:stream'
import { DataSource } from 'typeorm'
import { connectionSettings, dataSourceOptions } from '../../../platform/database/data-source.js'
import { Sql } from '../../../platform/database/sql.js'
import { EmbeddedObjectStore } from '../../../platform/objects/embedded-object-store.js'
import { NoPresigner } from '../presigner.fake.js'
import { partsOf } from './changing-content.fake.js'
import { EmbeddedStores } from './embedded-stores.js'

const [url = '', folder = '', seed = '0'] = process.argv.slice(2)
const connection = { url, poolSize: 3, applicationName: `changing ${seed}` }
const dataSource = await new DataSource({ ...dataSourceOptions(connection), migrations: [] }).initialize()
const sql = new Sql(connectionSettings(connection))
const objects = new EmbeddedObjectStore(folder)
const store = new EmbeddedStores({ dataSource, sql, objects, presigner: new NoPresigner() }).of('tenant_changing')

/** What is done with one key: 0 deletes it, other numbers are contents. */
async function change(key: string, number: number): Promise<void> {
  if (number === 0) return await store.deleteObject('data', key)
  const parts = partsOf(number)
  const [whole] = parts
  if (parts.length === 1 && whole) {
    await store.putObject('data', key, Readable.from([whole.subarray(0, 1_000), whole.subarray(1_000)]))
    return
  }
  const upload = { bucket: 'data', key, id: await store.uploads.create('data', key) }
  const put = []
  for (const [index, part] of parts.entries())
    put.push(await store.uploads.putPart(upload, index + 1, Readable.from([part])))
  await store.uploads.complete(upload, put)
}

async function changeAll(own: string): Promise<void> {
  for (let number = 1 + Number(seed) * 10_000; ; number++) {
    const key = `${own}/${number % 4}`
    const to = number % 7 === 0 ? 0 : number
    writeSync(1, `begin ${key} ${to}\n`)
    await change(key, to)
    writeSync(1, `end ${key} ${to}\n`)
  }
}

// Those that come after it in its turn go on with its keys.
await Promise.all([0, 1].map((lane) => changeAll(`${Number(seed) % 4}-${lane}`)))
