/** flow8's answers about plays, as its documentation describes them. The specs hold the server to their members. */

export const accepted = { playId: 'run-123', state: 'RUN', startedAt: '2026-01-01T12:00:00Z' }

const ended = {
  id: 'run-123',
  flowId: 'flow-123',
  state: 'DONE',
  startedAt: '2026-01-01T12:00:00Z',
  completedAt: '2026-01-01T12:00:05Z',
  duration: 5000,
  error: null,
}

const failed = {
  id: 'run-122',
  flowId: 'flow-123',
  state: 'FAIL',
  startedAt: '2026-01-01T11:00:00Z',
  completedAt: '2026-01-01T11:00:02Z',
  duration: 2000,
  error: { message: 'the server answered 500', code: 'http_error', ref: 'fetch' },
}

export const play = { ...ended, args: { orderId: 'A-17' }, out: { statusCode: 200 } }

export const approvedPlay = { ...play, state: 'DEFERRED', completedAt: null, duration: null, out: null }

export const playList = { data: [ended, failed], total: 2, page: 0, size: 25, pages: 1 }

export const layerList = {
  data: [
    {
      id: 'layer-123',
      ref: 'fetch',
      state: 'DONE',
      startedAt: '2026-01-01T12:00:00Z',
      completedAt: '2026-01-01T12:00:01Z',
      out: { statusCode: 200, body: { total: 120 } },
      name: 'Fetch the order',
      appId: 'curl',
      index: 0,
      path: 'fetch',
      attempts: 1,
      error: null,
      approval: null,
    },
    {
      id: 'layer-124',
      ref: 'pay',
      state: 'WAIT',
      startedAt: '2026-01-01T12:00:01Z',
      completedAt: null,
      out: null,
      name: 'Pay it',
      appId: 'curl',
      index: 1,
      path: 'pay',
      attempts: 0,
      error: null,
      approval: {
        decision: null,
        by: null,
        note: null,
        at: null,
        approvers: ['chief@example.com'],
        deadline: '2026-01-02T12:00:01Z',
      },
    },
    {
      id: 'layer-125',
      ref: 'tell',
      state: 'NEW',
      startedAt: null,
      completedAt: null,
      out: null,
      name: 'Tell the customer',
      appId: 'send-mail',
      index: 2,
      path: null,
      attempts: 0,
      error: null,
      approval: null,
    },
  ],
  total: 3,
  page: 0,
  size: 25,
  pages: 1,
}
