/** FlowRunner's documented answers about accounts, as its reference shows them. The specs hold the server to them. */

const DATES = { created_at: '2023-01-01T12:00:00Z', updated_at: '2023-01-01T12:00:00Z' }

export const account = {
  id: 'account-123',
  name: 'My Account',
  email: 'user@example.com',
  role: 'admin',
  ...DATES,
}

export const accountList = {
  accounts: [
    account,
    { id: 'account-456', name: 'Another Account', email: 'another@example.com', role: 'user', ...DATES },
  ],
  total: 2,
  limit: 10,
  offset: 0,
}

export const newAccount = { id: 'account-789', name: 'New Account', email: 'new@example.com', role: 'user', ...DATES }

export const updatedAccount = {
  id: 'account-123',
  name: 'Updated Account',
  email: 'updated@example.com',
  role: 'admin',
  created_at: '2023-01-01T12:00:00Z',
  updated_at: '2023-01-01T13:00:00Z',
}

export const deletedAccount = { message: 'Account deleted successfully' }
