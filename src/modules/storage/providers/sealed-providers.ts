import type { SealedTable } from '../../../platform/crypto/rotate-keys.js'

/** The row that credentials are sealed for: elsewhere their ciphertext cannot be opened. */
export function placeOfProvider(tenantId: string, id: string): readonly string[] {
  return ['storage_provider', tenantId, id]
}

/** Where credentials of providers are, for the rotation of keys. */
export const sealedProviders: SealedTable = {
  name: 'storage_provider',
  primaryKey: ['id'],
  columns: ['tenant_id'],
  place: (row) => placeOfProvider(row.tenant_id ?? '', row.id ?? ''),
}
