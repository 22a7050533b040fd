import { Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import { databaseIsUp } from '../../platform/database/data-source.js'
import { Unavailable } from '../../platform/http/refusals.js'
import { version } from '../../platform/version.js'

/** How this process is. */
export interface Health {
  version: string
  /** Whole seconds since the process started. */
  uptimeSeconds: number
}

/** Healthy means that requests can be answered, which takes the database. */
@Injectable()
export class HealthService {
  constructor(@InjectDataSource() private readonly database: DataSource) {}

  /** Throws `Unavailable` when the database does not answer. */
  async check(): Promise<Health> {
    if (!(await databaseIsUp(this.database))) throw new Unavailable(new Error('the database does not answer'))
    return { version, uptimeSeconds: Math.floor(process.uptime()) }
  }
}
