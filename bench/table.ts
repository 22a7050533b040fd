export type Cell = string | number | undefined

export interface Row {
  [column: string]: Cell
}

/** A table that reads the same in a terminal and in Markdown. */
export function print(title: string, rows: readonly Row[]): void {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const cells = [columns, ...rows.map((row) => columns.map((column) => shown(row[column])))]
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => (line[index] ?? '').length)))
  const lines = cells.map((line) => `| ${line.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join(' | ')} |`)
  lines.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`)
  console.log(`${title}\n\n${lines.join('\n')}\n`)
}

/** One row of several measurements of the same: of each number the median. */
export function medianOf(rows: readonly Row[]): Row {
  const [first = {}] = rows
  return Object.fromEntries(
    Object.entries(first).map(([column, cell]) => [
      column,
      typeof cell === 'number' ? median(rows.map((row) => Number(row[column]))) : cell,
    ]),
  )
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}

/** Three digits that count. */
function shown(cell: Cell): string {
  if (typeof cell !== 'number') return cell ?? ''
  const size = Math.abs(cell)
  if (Number.isInteger(cell) || size >= 100) return cell.toFixed(0)
  if (size >= 10) return cell.toFixed(1)
  return size >= 1 ? cell.toFixed(2) : cell.toFixed(3)
}
