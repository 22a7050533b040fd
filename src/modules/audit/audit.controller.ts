import { Get, Param, Query, Res } from '@nestjs/common'
import type { Response } from 'express'
import { Caller } from '../../platform/auth/caller.js'
import type { Principal } from '../../platform/auth/principal.js'
import { Roles } from '../../platform/auth/roles.js'
import { Answers, AnswersText, PathParam, Summary, SurfaceController } from '../../platform/openapi/operations.js'
import {
  COLUMNS,
  FacilFlowActivityPageQuery,
  FacilFlowAuditExportQuery,
  FacilFlowAuditLogList,
  FacilFlowAuditLogsQuery,
  FacilFlowAuditVerification,
  toAuditLog,
  toAuditLogList,
  toFilter,
  toVerification,
} from './audit.dto.js'
import { CONTENT_TYPES, writeRows } from './audit-export.js'
import { AuditLog } from './audit-log.js'

const LINE =
  '{"id":"audit-123","createdAt":"2026-01-31T12:00:00.000Z","userId":"account-123","userEmail":"user@example.com","action":"flow.update","resourceType":"flow","resourceId":"flow-123","outcome":"success","ip":"192.0.2.7","requestId":"req-123","before":{"name":"One"},"after":{"name":"Two"}}\n'
const RECORDS =
  'id,createdAt,userId,userEmail,action,resourceType,resourceId,outcome,ip,requestId,before,after\r\naudit-123,2026-01-31T12:00:00.000Z,account-123,user@example.com,flow.update,flow,flow-123,success,192.0.2.7,req-123,"{""name"":""One""}","{""name"":""Two""}"\r\n'

@SurfaceController({
  surface: 'facilflow',
  path: 'api/audit',
  resource: 'Audit',
  about: 'Who did what and when, in a trail that cannot be altered unnoticed.',
})
@PathParam('id', "The user's id.", 'account-123')
export class FacilFlowAuditController {
  constructor(private readonly log: AuditLog) {}

  @Get('logs')
  @Summary(
    'List audit logs',
    'What was done or tried through any of the APIs, newest first: everything of their tenant for admins, for others what they did themselves.',
  )
  @Answers(FacilFlowAuditLogList, { description: 'One page of the trail' })
  async logs(@Caller() caller: Principal, @Query() query: FacilFlowAuditLogsQuery): Promise<FacilFlowAuditLogList> {
    return toAuditLogList(await this.log.page(caller, toFilter(query), query.limit, query.offset))
  }

  @Get('users/:id/activity')
  @Summary(
    "List a user's activity",
    'What one user did or tried, newest first. Admins may ask for any user of their tenant; to others, all but they themselves do not exist.',
  )
  @Answers(FacilFlowAuditLogList, { description: 'One page of what the user did' })
  async activity(
    @Caller() caller: Principal,
    @Param('id') id: string,
    @Query() query: FacilFlowActivityPageQuery,
  ): Promise<FacilFlowAuditLogList> {
    return toAuditLogList(await this.log.activity(caller, id, toFilter(query), query.limit, query.offset))
  }

  @Get('verify')
  @Roles('admin')
  @Summary(
    'Verify the audit trail',
    'Whether every entry of the tenant is there as it was written, in its place, and none was slipped in; else the first place where that is not so. It reads the whole trail, a million entries in some 20 seconds.',
  )
  @Answers(FacilFlowAuditVerification, { description: 'What was found' })
  async verify(@Caller() caller: Principal): Promise<FacilFlowAuditVerification> {
    return toVerification(await this.log.verify(caller))
  }

  @Get('export')
  @Summary(
    'Export audit logs',
    'The same entries as in the list, all of them, as a stream. A cell of the CSV that a spreadsheet would take for a formula begins with an apostrophe.',
  )
  @AnswersText(['application/jsonl', 'text/csv'], {
    description: 'The entries, newest first',
    examples: { 'application/jsonl': LINE, 'text/csv': RECORDS },
  })
  async export(
    @Caller() caller: Principal,
    @Query() query: FacilFlowAuditExportQuery,
    @Res() response: Response,
  ): Promise<void> {
    const entries = this.log.entries(caller, toFilter(query))
    response
      .setHeader('Content-Type', CONTENT_TYPES[query.format])
      .setHeader('Content-Disposition', `attachment; filename="audit.${query.format}"`)
    await writeRows(query.format, COLUMNS, entries, toAuditLog, response)
  }
}
