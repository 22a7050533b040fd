/** The examples of flwd's reference, word for word. */

const daily = {
  id: 'backup/daily',
  name: 'daily',
  namespace: 'backup',
  version: '1.0.0',
  description: 'Daily backup job',
}

export const jobList = { jobs: [{ ...daily, source: 'local-fs' }] }

export const job = {
  ...daily,
  args: {
    type: 'object',
    properties: { target: { type: 'string', description: 'Backup target directory' } },
    required: ['target'],
  },
  source: 'local-fs',
}
