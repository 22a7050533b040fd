import { describe, expect, it } from 'vitest'
import { DomainError, type ErrorKind } from '../platform/errors/domain-error.js'
import { ValidationFailed } from '../platform/http/faults.js'
import { statusOfKind } from '../platform/http/statuses.js'
import type { SurfaceName } from '../platform/openapi/surface.js'
import { dialects } from './index.js'

const invalid = new ValidationFailed([{ pointer: '#/name', detail: 'Name is required', code: 'required' }])

function spelled(surface: SurfaceName, error: DomainError, instance: string): unknown {
  const dialect = dialects.of(surface)
  return dialect.problem(error, { status: dialect.status(error.kind), instance, requestId: 'req_1' })
}

describe('each dialect', () => {
  it('spells a missing job as flwd documents it', () => {
    const error = new DomainError(
      'not_found',
      'job-not-found',
      'Job not found',
      "The job 'backup/daily' does not exist",
    )
    expect(spelled('flwd', error, '/api/v1/jobs/backup/daily')).toEqual({
      type: 'https://flowd.org/problems/job-not-found',
      title: 'Job Not Found',
      status: 404,
      detail: "The job 'backup/daily' does not exist",
      instance: '/api/v1/jobs/backup/daily',
      requestId: 'req_1',
    })
  })

  it('spells a missing flow as flow8 documents it', () => {
    const error = new DomainError('not_found', 'flow-not-found', 'Flow not found', 'Flow with ID 65abc123 not found', {
      resource: 'flow',
    })
    expect(spelled('flow8', error, '/api/flows/65abc123')).toEqual({
      type: '/problems/flow-not-found',
      title: 'Flow not found',
      status: 404,
      detail: 'Flow with ID 65abc123 not found',
      instance: '/api/flows/65abc123',
      requestId: 'req_1',
      error: 'FLOW_NOT_FOUND',
      message: 'Flow with ID 65abc123 not found',
      statusCode: 404,
    })
  })

  it('spells a fault as FlowRunner documents it', () => {
    expect(spelled('flowRunner', invalid, '/api/v1/flows')).toEqual({
      type: '/problems/validation-error',
      title: 'The request failed validation',
      status: 422,
      detail: 'The request was invalid',
      instance: '/api/v1/flows',
      requestId: 'req_1',
      errors: [{ pointer: '#/name', detail: 'Name is required', code: 'required' }],
      error: {
        code: 'validation_error',
        message: 'The request was invalid',
        details: { field: 'name', reason: 'Name is required' },
      },
    })
  })

  it("says execution for what the core calls a run, in FlowRunner's problems alone, and leaves what callers sent", () => {
    const missing = new DomainError('not_found', 'run-not-found', 'Run not found', 'Run with ID run not found')
    expect(spelled('flowRunner', missing, '/api/v1/executions/run')).toMatchObject({
      type: '/problems/run-not-found',
      title: 'Execution not found',
      detail: 'Execution with ID run not found',
      error: { code: 'not_found', message: 'Execution with ID run not found' },
    })
    expect(spelled('flwd', missing, '/api/v1/runs/run')).toMatchObject({ detail: 'Run with ID run not found' })
    const owned = new DomainError('conflict', 'account-in-use', 'In use', 'It owns 1 flow and 2 unfinished runs')
    expect(spelled('flowRunner', owned, '/')).toMatchObject({ detail: 'It owns 1 flow and 2 unfinished executions' })
    const flow = new DomainError('not_found', 'flow-not-found', 'Flow not found', 'Flow with ID run not found')
    expect(spelled('flowRunner', flow, '/')).toMatchObject({ detail: 'Flow with ID run not found' })
  })

  it('answers faults of a body with 400 in flwd', () => {
    expect(spelled('flwd', invalid, '/api/v1/jobs')).toMatchObject({
      status: 400,
      type: 'https://flowd.org/problems/validation-error',
    })
  })

  it('adds nothing to the plain problem in the Flows API', () => {
    expect(Object.keys(spelled('flowsApi', invalid, '/api/flow/x') as object)).toEqual([
      'type',
      'title',
      'status',
      'detail',
      'instance',
      'requestId',
      'errors',
    ])
  })

  it('carries every extension that its schema names, for every kind of error', () => {
    for (const dialect of dialects.all) {
      for (const kind of Object.keys(statusOfKind) as ErrorKind[]) {
        const problem = spelled(dialect.surface, new DomainError(kind, 'x', 'X', 'x'), '/') as object
        expect(Object.keys(problem)).toEqual(expect.arrayContaining(Object.keys(dialect.extensions)))
      }
    }
  })
})

it('answers by prefix where no controller was reached', () => {
  expect(dialects.at('/api/v1/nothing')?.surface).toBe('flowRunner')
  expect(dialects.at('/api/nothing')?.surface).toBe('flow8')
  expect(dialects.at('/apiary')).toBeUndefined()
})
