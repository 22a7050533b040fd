/* A process that keeps and deletes artifacts of one run until it is killed, and says before and after. `node … databaseUrl folder run` */
import { writeSync } from 'node:fs'
import { DataSource } from 'typeorm'
import { connectionSettings, dataSourceOptions } from '../../platform/database/data-source.js'
import { Sql } from '../../platform/database/sql.js'
import { ArtifactsUnderTest, callerOf, fileOf, numberedFile, runOf } from './artifacts.fake.js'

const [url = '', folder = '', id = ''] = process.argv.slice(2)
const connection = { url, poolSize: 5, applicationName: `keeping ${id}` }
const dataSource = await new DataSource({ ...dataSourceOptions(connection), migrations: [] }).initialize()
const artifacts = await ArtifactsUnderTest.on({ dataSource, sql: new Sql(connectionSettings(connection)) }, folder)
const run = runOf(id)

async function keepAll(lane: number): Promise<void> {
  for (let number = lane; ; number += 2) {
    const { path, content } = numberedFile(number)
    writeSync(1, `begin ${number}\n`)
    const artifact = await artifacts.kept.keep(run, fileOf(path, content))
    if (number % 3 === 0) await artifacts.service.delete(callerOf(run), artifact)
    writeSync(1, `end ${number}\n`)
  }
}

await Promise.all([0, 1].map((lane) => keepAll(lane)))
