import type { SealedTable } from '../../platform/crypto/rotate-keys.js'

/** The row that a secret key is sealed for: elsewhere its ciphertext cannot be opened. */
export function placeOfAccessKey(id: string): readonly string[] {
  return ['access_key', id]
}

/** Where secret keys are, for the rotation of keys. */
export const sealedAccessKeys: SealedTable = {
  name: 'access_key',
  primaryKey: ['id'],
  place: (row) => placeOfAccessKey(row.id ?? ''),
}
