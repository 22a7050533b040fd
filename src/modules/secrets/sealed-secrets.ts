import type { SealedTable } from '../../platform/crypto/rotate-keys.js'

/** The row that a secret is sealed for: elsewhere its ciphertext cannot be opened. */
export function placeOfSecret(accountId: string, key: string): readonly string[] {
  return ['secret', accountId, key]
}

/** Where secrets are, for the rotation of keys. */
export const sealedSecrets: SealedTable = {
  name: 'secret',
  primaryKey: ['account_id', 'key'],
  place: (row) => placeOfSecret(row.account_id ?? '', row.key ?? ''),
}
