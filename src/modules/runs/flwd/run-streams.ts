import { Injectable } from '@nestjs/common'
import type { Request, Response } from 'express'
import type { Principal } from '../../../platform/auth/principal.js'
import { sendPage } from '../../../platform/http/page-links.js'
import { EventStreams, type ServerEvent } from '../../../platform/realtime/event-streams.js'
import type { BriefEvent } from '../events/run-events.js'
import { RunFeed } from '../feed/run-feed.js'
import { RunsService } from '../runs.service.js'
import { JobNames } from './job-names.js'
import { type FlwdRunEventsQuery, toServerEvent } from './run-events.dto.js'
import { FlwdRunLogsQuery, toLogEntry, toLogs } from './runs.dto.js'

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
    const flowIds = jobId === undefined ? undefined : await this.jobs.flowsOf(caller, jobId)
    const after = await this.begin(accountId, runId, lastEventId ?? query.last_event_id)
    await this.streams.tell(request, response, (gone) =>
      this.events(this.feed.follow(accountId, { runId, flowIds }, after, gone)),
    )
  }

  /** The log as a page, or as a stream. */
  async tellLogs(
    caller: Principal,
    runId: string,
    query: FlwdRunLogsQuery,
    lastEventId: string | undefined,
    request: Request,
    response: Response,
  ): Promise<void> {
    const since = query.since === undefined ? undefined : new Date(query.since)
    const page = await this.runs.logs(caller, runId, { since }, query.limit, query.offset)
    if (!query.follow) {
      sendPage(request, response, FlwdRunLogsQuery, toLogs(page))
      return
    }
    const after = await this.runs.seqBehind(runId, lastEventId ?? query.last_event_id)
    await this.streams.tell(request, response, (gone) => linesOf(this.runs.follow(runId, after, gone), since))
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

async function* linesOf(events: AsyncIterable<BriefEvent>, since: Date | undefined): AsyncGenerator<ServerEvent[]> {
  for await (const event of events) {
    if (event.type !== 'log' || (since && new Date(event.at) < since)) continue
    yield [{ id: event.seq, event: 'log', data: { ...toLogEntry(event) } }]
  }
}
