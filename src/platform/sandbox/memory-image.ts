const PAGE = 4096
const ZEROES = Buffer.alloc(PAGE)
/** Zero pages in a row that can only be Emscripten's stack (5 MiB here), which is empty between calls. */
const STACK_PAGES = 256
/** Kept at the low end of the stack, in case static data that happens to be zero ends there. */
const MARGIN = 64 * 1024

/**
 * A photograph of a WebAssembly memory at rest, to be put back later. It holds everything up to the last byte in use, except the
 * stack: some 250 KiB for a fresh QuickJS context. What lies behind it is free memory to the restored allocator, which clears what
 * it must before handing it out.
 */
export class MemoryImage {
  private readonly memory: WebAssembly.Memory
  private readonly parts: { at: number; bytes: Uint8Array }[] = []

  constructor(memory: WebAssembly.Memory) {
    this.memory = memory
    const bytes = new Uint8Array(memory.buffer)
    const end = endOfUse(bytes)
    const stack = findStack(bytes, end)
    if (stack) this.parts.push(part(bytes, 0, stack.start + MARGIN), part(bytes, stack.end, end))
    else this.parts.push(part(bytes, 0, end))
  }

  restore(): void {
    const bytes = new Uint8Array(this.memory.buffer)
    for (const { at, bytes: photographed } of this.parts) bytes.set(photographed, at)
  }
}

function part(bytes: Uint8Array, at: number, end: number): { at: number; bytes: Uint8Array } {
  return { at, bytes: bytes.slice(at, end) }
}

function endOfUse(bytes: Uint8Array): number {
  let end = bytes.length
  while (end > 0 && isZero(bytes, end - PAGE)) end -= PAGE
  return end
}

function findStack(bytes: Uint8Array, end: number): { start: number; end: number } | undefined {
  let start = 0
  for (let at = 0; at < end; at += PAGE) {
    if (isZero(bytes, at)) continue
    if (at - start >= STACK_PAGES * PAGE) return { start, end: at }
    start = at + PAGE
  }
  return undefined
}

function isZero(bytes: Uint8Array, at: number): boolean {
  return ZEROES.compare(bytes, at, at + PAGE) === 0
}
