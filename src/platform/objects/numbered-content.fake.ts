/** A content that is told apart from every other by its number, of 50,000 to 150,000 bytes. */
export function numbered(number: number): Buffer {
  return Buffer.alloc(50_000 + ((number * 7_919) % 100_000), `content ${number} `)
}
