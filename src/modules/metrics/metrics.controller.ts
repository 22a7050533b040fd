import { Get, Req, Res } from '@nestjs/common'
import type { Request, Response } from 'express'
import { AlsoFor } from '../../platform/auth/machine-token.js'
import { Roles } from '../../platform/auth/roles.js'
import { AnswersText, Summary, SurfaceController } from '../../platform/openapi/operations.js'
import { Metrics } from '../../platform/telemetry/metrics.js'

@SurfaceController({ surface: 'operations', path: 'metrics', resource: 'Metrics', about: 'Figures for Prometheus.' })
export class MetricsController {
  constructor(private readonly metrics: Metrics) {}

  @Get()
  @Roles('admin')
  @AlsoFor('metricsToken')
  @Summary(
    'Measurements for Prometheus',
    "Of this process, and of the queue that all processes share. Answers OpenMetrics to who prefers it, else Prometheus's text format. Asked by an admin, or with METRICS_TOKEN as the bearer token; such requests are not counted against the rate limit.",
  )
  @AnswersText(['text/plain', 'application/openmetrics-text'], {
    description: 'The measurements',
    example:
      '# HELP millrace_runs_active Runs that this process interprets.\n# TYPE millrace_runs_active gauge\nmillrace_runs_active 3\n',
  })
  async get(@Req() request: Request, @Res() response: Response): Promise<void> {
    const { contentType, text } = await this.metrics.exposition(request.headers.accept)
    response.setHeader('Content-Type', contentType).setHeader('Vary', 'Accept').end(text)
  }
}
