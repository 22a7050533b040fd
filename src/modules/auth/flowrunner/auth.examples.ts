/** FlowRunner's documented answers about logins, as its reference shows them. The specs hold the server to them. */

export const session = {
  token: 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...',
  expires_at: '2023-01-01T12:00:00Z',
  account_id: 'account-123',
}

export const loggedOut = { message: 'Logged out successfully' }
