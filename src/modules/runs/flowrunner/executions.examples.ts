/** FlowRunner's documented answers about executions, as its reference shows them. The specs hold the server to them. */

export const accepted = {
  execution_id: 'exec-123',
  flow_id: 'flow-123',
  status: 'running',
  created_at: '2023-01-01T12:00:00Z',
}

export const execution = {
  id: 'exec-123',
  flow_id: 'flow-123',
  status: 'completed',
  input: { key: 'value' },
  result: { output: 'value' },
  started_at: '2023-01-01T12:00:00Z',
  completed_at: '2023-01-01T12:00:05Z',
  duration: 5000,
}

export const executionList = {
  executions: [
    {
      id: 'exec-123',
      flow_id: 'flow-123',
      status: 'completed',
      started_at: '2023-01-01T12:00:00Z',
      completed_at: '2023-01-01T12:00:05Z',
      duration: 5000,
    },
    {
      id: 'exec-456',
      flow_id: 'flow-123',
      status: 'failed',
      started_at: '2023-01-01T12:10:00Z',
      completed_at: '2023-01-01T12:10:02Z',
      duration: 2000,
      error: 'HTTP request failed with status 500',
    },
  ],
  total: 2,
  limit: 10,
  offset: 0,
}

export const cancelledExecution = { message: 'Execution cancelled successfully' }

export const logs = {
  logs: [
    {
      timestamp: '2023-01-01T12:00:00Z',
      level: 'info',
      message: 'Execution started',
      node_id: 'start',
      node_type: 'http.request',
    },
    {
      timestamp: '2023-01-01T12:00:01Z',
      level: 'info',
      message: 'HTTP request successful',
      node_id: 'start',
      node_type: 'http.request',
      data: { status_code: 200, url: 'https://api.example.com/data' },
    },
    {
      timestamp: '2023-01-01T12:00:05Z',
      level: 'info',
      message: 'Execution completed',
      node_id: 'end',
      node_type: 'webhook',
    },
  ],
  total: 3,
  limit: 10,
  offset: 0,
}

export const resumed = { ...accepted, execution_id: 'exec-456' }

export const redrive = {
  redriven: [{ id: 'exec-123', execution_id: 'exec-456' }],
  skipped: [{ id: 'exec-789', reason: 'Execution exec-789 is of a flow that was deleted' }],
}
