/** flwd's documented answers about runs, as its reference shows them. The specs hold the server to them. */

export const createdRun = {
  run_id: 'run_01HX...',
  job_id: 'backup/daily',
  status: 'running',
  created_at: '2024-01-15T10:30:00Z',
}

export const runList = {
  runs: [
    {
      run_id: 'run_01HX...',
      job_id: 'backup/daily',
      status: 'success',
      created_at: '2024-01-15T10:30:00Z',
      finished_at: '2024-01-15T10:35:00Z',
    },
  ],
  total: 42,
}

export const run = {
  run_id: 'run_01HX...',
  job_id: 'backup/daily',
  status: 'success',
  created_at: '2024-01-15T10:30:00Z',
  finished_at: '2024-01-15T10:35:00Z',
  args: { target: '/mnt/backup' },
  result: { value: { files_backed_up: 1234, total_size_mb: 5678 } },
}

export const cancelledRun = { run_id: 'run_01HX...', status: 'cancelled' }

export const logLine = { timestamp: '2024-01-15T10:30:01Z', level: 'info', message: 'Starting backup...' }

export const logs = { logs: [{ ...logLine, step_id: 'step_01' }] }
