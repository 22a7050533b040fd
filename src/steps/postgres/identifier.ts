import { invalidParams } from '../invalid-params.js'

/** PostgreSQL cuts longer names, silently and to the same one. */
const MAX_BYTES = 63

/** A column's name, quoted so that it can be nothing but a name. */
export function quoteIdentifier(name: string): string {
  if (name === '' || name.includes('\0') || Buffer.byteLength(name) > MAX_BYTES) {
    throw invalidParams(
      `'${name.slice(0, MAX_BYTES).replaceAll('\0', '')}' is no name: 1 to ${MAX_BYTES} bytes, without NUL`,
    )
  }
  return `"${name.replaceAll('"', '""')}"`
}

/** A table's name, with or without its schema: `users`, `sales.orders`. */
export function quoteTable(name: string): string {
  return name.split('.').map(quoteIdentifier).join('.')
}
