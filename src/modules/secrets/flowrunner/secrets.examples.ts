/** FlowRunner's documented answers about secrets, as its reference shows them. The specs hold the server to them. */

const DATES = { created_at: '2023-01-01T12:00:00Z', updated_at: '2023-01-01T12:00:00Z' }

export const secretList = {
  secrets: [
    { key: 'API_KEY', ...DATES },
    { key: 'DATABASE_URL', ...DATES },
  ],
}

export const secret = { key: 'NEW_API_KEY', ...DATES }

export const deletedSecret = { message: 'Secret deleted successfully' }
