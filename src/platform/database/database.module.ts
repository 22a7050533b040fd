import { Global, Module, type OnApplicationShutdown } from '@nestjs/common'
import { TypeOrmModule } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import { Config } from '../config/config.js'
import type { Log } from '../log/log.js'
import { LOG } from '../log/log.module.js'
import { type Connection, connectionSettings, dataSourceOptions } from './data-source.js'
import { DatabaseServer } from './database-server.js'
import { Sql } from './sql.js'

@Module({
  providers: [
    {
      provide: DatabaseServer,
      inject: [Config, LOG],
      useFactory: (config: Config, log: Log) => {
        const child = log.child({ context: 'Database' })
        return DatabaseServer.open(config, {
          say: (line) => child.info(line),
          log: (line) => child.debug(line),
        })
      },
    },
  ],
  exports: [DatabaseServer],
})
class DatabaseServerModule {}

/**
 * The database, up and migrated before any other module starts: TypeORM's `DataSource` (modules name their entities with
 * `TypeOrmModule.forFeature`) and `Sql`. Both are closed last of all, after every module's `beforeApplicationShutdown`.
 */
@Global()
@Module({
  imports: [
    DatabaseServerModule,
    TypeOrmModule.forRootAsync({
      imports: [DatabaseServerModule],
      inject: [DatabaseServer, Config],
      useFactory: (server: DatabaseServer, config: Config) => ({
        ...dataSourceOptions(connectionTo(server, config)),
        autoLoadEntities: true,
      }),
    }),
  ],
  providers: [
    {
      provide: Sql,
      inject: [DatabaseServer, Config],
      useFactory: (server: DatabaseServer, config: Config) => new Sql(connectionSettings(connectionTo(server, config))),
    },
  ],
  exports: [Sql, TypeOrmModule],
})
export class DatabaseModule implements OnApplicationShutdown {
  constructor(
    private readonly server: DatabaseServer,
    private readonly dataSource: DataSource,
    private readonly sql: Sql,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await this.sql.close()
    if (this.dataSource.isInitialized) await this.dataSource.destroy()
    await this.server.close()
  }
}

function connectionTo({ url }: DatabaseServer, { databasePoolSize }: Config): Connection {
  return { url, poolSize: databasePoolSize, applicationName: 'millrace' }
}
