import { type BeforeApplicationShutdown, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common'
import { Interval } from '@nestjs/schedule'
import { ContainerRuntimes } from '../../platform/containers/container-runtimes.js'
import { removeLeftovers } from '../../platform/containers/leftovers.js'
import { Sql, type Statement } from '../../platform/database/sql.js'

/** A container that is left costs its host until it is found. Looking costs some milliseconds. */
const LOOK_MS = 10_000

/**
 * Removes the containers of steps that nobody works on any more: at the start of a server and then again and again. Each server looks after
 * its own host, because whoever takes a run over may be on another.
 */
@Injectable()
export class LeftoverContainers implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(LeftoverContainers.name)
  private running = false
  private looking?: Promise<void>

  constructor(
    private readonly runtimes: ContainerRuntimes,
    private readonly sql: Sql,
  ) {}

  onApplicationBootstrap(): void {
    this.running = true
    this.look()
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.running = false
    await this.looking
  }

  @Interval(LOOK_MS)
  look(): void {
    if (!this.running) return
    this.looking ??= this.remove().finally(() => {
      this.looking = undefined
    })
  }

  private async remove(): Promise<void> {
    try {
      const runtime = await this.runtimes.find()
      if (!runtime) return
      const count = await removeLeftovers(runtime, (runIds) => this.idle(runIds))
      if (count > 0) this.logger.warn(`removed ${count} containers that were left by steps that nobody works on`)
    } catch (error) {
      this.logger.error({ err: error }, 'containers that were left could not be removed')
    }
  }

  private async idle(runIds: string[]): Promise<string[]> {
    const rows = await this.sql.query<{ id: string } & object>(IDLE, [runIds])
    return rows.map(({ id }) => id)
  }
}

/** Runs of other databases, which may share the runtime, are not among them. */
const IDLE: Statement = {
  name: 'containers_idle_runs',
  text: `select id from run where id = any ($1::text[]) and state <> 'running'`,
}
