/** FlowRunner's documented answers about flows, as its reference shows them. The specs hold the server to them. */

const DATES = { created_at: '2023-01-01T12:00:00Z', updated_at: '2023-01-01T12:00:00Z' }

export const DEFINITION = `metadata:
  name: "My Flow"
  description: "A simple flow"
  version: "1.0.0"

nodes:
  start:
    type: "http.request"
    params:
      url: "https://api.example.com/data"
      method: "GET"
    next:
      default: "end"
  
  end:
    type: "webhook"
    params:
      url: "https://webhook.example.com/callback"
      method: "POST"
`

export const UPDATED_DEFINITION = DEFINITION.replace('My Flow', 'Updated Flow')
  .replace('A simple flow', 'An updated flow')
  .replace('1.0.0', '1.0.1')

export const flow = {
  id: 'flow-123',
  name: 'My Flow',
  description: 'A simple flow',
  version: '1.0.0',
  ...DATES,
  tags: ['production'],
}

export const flowDetails = { ...flow, definition: DEFINITION }

export const updatedFlow = {
  id: 'flow-123',
  name: 'Updated Flow',
  description: 'An updated flow',
  version: '1.0.1',
  created_at: '2023-01-01T12:00:00Z',
  updated_at: '2023-01-01T13:00:00Z',
  tags: ['production', 'updated'],
}

export const flowList = {
  flows: [
    flow,
    {
      id: 'flow-456',
      name: 'Another Flow',
      description: 'Another flow',
      version: '1.0.0',
      ...DATES,
      tags: ['development'],
    },
  ],
  total: 2,
  limit: 10,
  offset: 0,
}

export const deletedFlow = { message: 'Flow deleted successfully' }
