import { type DynamicModule, Global, Module } from '@nestjs/common'
import type { Log } from './log.js'

/** Where Nest finds the process's log. Most code wants Nest's `Logger` instead. */
export const LOG = Symbol('log')

/** Gives the log to the modules that write before Nest's `Logger` does, such as the database while it starts. */
@Global()
@Module({})
export class LogModule {
  static with(log: Log): DynamicModule {
    return { module: LogModule, providers: [{ provide: LOG, useValue: log }], exports: [LOG] }
  }
}
