import { once } from 'node:events'
import type { Writable } from 'node:stream'

/** How an export can be had. */
export const FORMATS = ['jsonl', 'csv'] as const

export type Format = (typeof FORMATS)[number]

export const CONTENT_TYPES: Record<Format, string> = {
  jsonl: 'application/jsonl; charset=utf-8',
  csv: 'text/csv; charset=utf-8; header=present',
}

/** What a spreadsheet takes for a formula when a cell begins with it (OWASP, CSV injection). */
const FORMULA = /^[=+\-@\t\r]/

/** Writes items as they come, and no faster than they are read. Ends early when the reader is gone. */
export async function writeRows<Item, Row extends object>(
  format: Format,
  columns: readonly (keyof Row & string)[],
  batches: AsyncIterable<Item[]>,
  toRow: (item: Item) => Row,
  out: Writable,
): Promise<void> {
  const lineOf = (row: Row) =>
    format === 'csv' ? csvLine(columns.map((column) => row[column])) : `${JSON.stringify(row)}\n`
  if (format === 'csv') out.write(csvLine(columns))
  for await (const batch of batches) {
    const lines = batch.map((item) => lineOf(toRow(item)))
    if (!out.write(lines.join('')) && !out.destroyed) await Promise.race([once(out, 'drain'), once(out, 'close')])
    if (out.destroyed) return
  }
  out.end()
}

/** A record of RFC 4180. Objects stand in it as their JSON. */
function csvLine(cells: readonly unknown[]): string {
  return `${cells.map(cell).join(',')}\r\n`
}

function cell(value: unknown): string {
  if (value === undefined || value === null) return ''
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
  const harmless = FORMULA.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}
