export function buildIfNeeded(folder?: string): void
export function isStale(folder?: string): boolean
export function build(folder?: string): void
