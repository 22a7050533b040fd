import type { ConsoleLine, Script } from './evaluation.js'

/** What a worker is started with. */
export interface WorkerSetup {
  /** QuickJS, compiled once by the process and shared by all workers. */
  wasm: WebAssembly.Module
  /** One Int32: the id of the job to give up. Read by the running script's interrupt handler, so it works while the worker is busy. */
  abort: SharedArrayBuffer
  memoryMb: number
  maxResultChars: number
  warmTenants: number
}

/** One evaluation, as the pool hands it to a worker. */
export interface Job {
  id: number
  tenant: string
  scripts: readonly Script[]
  /** JSON text of a `GuestScope`. */
  scope: string
  capture: readonly string[]
  timeoutMs: number
}

/** The variables as the code inside the sandbox receives them. */
export interface GuestScope {
  variables: Record<string, unknown>
  /** Members of `shared` to offer under their bare names and behind `input`. */
  offered?: Record<string, unknown>
}

/** A worker's answer. `values` and `captured` are JSON text, parsed only by whoever wants the result. */
export type Reply =
  | { id: number; ok: true; values: string; captured: string; console: ConsoleLine[] }
  | {
      id: number
      ok: false
      code: 'script_error' | 'script_timeout' | 'script_memory' | 'script_aborted'
      message: string
      console: ConsoleLine[]
    }
