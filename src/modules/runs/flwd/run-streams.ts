import { Injectable } from '@nestjs/common'
import type { Request, Response } from 'express'
import type { Principal } from '../../../platform/auth/principal.js'
import { EventStreams, type ServerEvent } from '../../../platform/realtime/event-streams.js'
import { RunFeed } from '../feed/run-feed.js'
import { RunsService } from '../runs.service.js'
import { JobNames } from './job-names.js'
import { type FlwdRunEventsQuery, toServerEvent } from './run-events.dto.js'

/** flwd's streams of events. What can be refused is refused before anything is sent. */
@Injectable()
export class FlwdRunStreams {
  constructor(
    private readonly streams: EventStreams,
    private readonly feed: RunFeed,
    private readonly runs: RunsService,
    private readonly jobs: JobNames,
  ) {}

  async tellAll(
    caller: Principal,
    query: FlwdRunEventsQuery,
    lastEventId: string | undefined,
    request: Request,
    response: Response,
  ): Promise<void> {
    const { accountId } = caller
    const { run_id: runId, job_id: jobId } = query
    if (runId !== undefined) await this.runs.summary(caller, runId)
    const flowId = jobId === undefined ? undefined : await this.jobs.flowOf(caller, jobId)
    const after = await this.begin(accountId, runId, lastEventId ?? query.last_event_id)
    await this.streams.tell(request, response, (gone) =>
      this.events(this.feed.follow(accountId, { runId, flowId }, after, gone)),
    )
  }

  /** Of one run everything, of all what comes. */
  private async begin(accountId: string, runId: string | undefined, lastId: string | undefined): Promise<number> {
    if (lastId !== undefined) return await this.feed.after(accountId, lastId)
    return runId === undefined ? await this.feed.now() : 0
  }

  private async *events(pages: ReturnType<RunFeed['follow']>): AsyncGenerator<ServerEvent[]> {
    for await (const page of pages) {
      const names = await this.jobs.of(page.map(({ flowId }) => flowId))
      yield page.flatMap((event) => toServerEvent(event, names.get(event.flowId) ?? event.flowId) ?? [])
    }
  }
}
