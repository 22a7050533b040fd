import { join } from 'node:path'
import { Global, Module } from '@nestjs/common'
import { Config } from '../config/config.js'
import { EmbeddedObjectStore } from './embedded-object-store.js'
import { ObjectStore } from './object-store.js'

/** The object store, for every module: files under `DATA_DIR/objects`. */
@Global()
@Module({
  providers: [
    {
      provide: ObjectStore,
      inject: [Config],
      useFactory: ({ dataDir }: Config) => new EmbeddedObjectStore(join(dataDir, 'objects')),
    },
  ],
  exports: [ObjectStore],
})
export class ObjectsModule {}
