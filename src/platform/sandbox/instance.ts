import quickjsVariant from '@jitl/quickjs-wasmfile-release-sync'
import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSRuntime,
  type QuickJSSyncVariant,
} from 'quickjs-emscripten-core'
import { ConsoleLog } from './console-log.js'
import { guestSource } from './guest.js'
import { MemoryImage } from './memory-image.js'
import type { Job, Reply } from './protocol.js'

// The package's types describe its CommonJS build; Node imports the other, whose default export is the variant itself.
const variant = quickjsVariant as unknown as QuickJSSyncVariant

/** 16 MiB, the least that the module asks for. */
const INITIAL_PAGES = 256
const PAGES_PER_MB = 16
/** Deep enough for honest recursion, shallow enough that QuickJS notices before V8's own stack ends. */
const MAX_STACK_BYTES = 512 * 1024
/** Jobs per slice: the deadline is looked at between slices too. */
const JOBS_PER_SLICE = 1_000

const EVAL_GLOBAL = 0
const EVAL_COMPILE_ONLY = 1 << 5
/** Top-level `await`; the value is a promise of `{value}`. */
const EVAL_ASYNC = 1 << 7

export interface InstanceOptions {
  wasm: WebAssembly.Module
  memoryMb: number
  maxResultChars: number
  /** True when the running job is to be given up. Asked every few thousand steps of the interpreter. */
  isAborted: () => boolean
}

/** Why the running code was interrupted. */
type Interruption = 'script_timeout' | 'script_aborted'

/**
 * One QuickJS in a WebAssembly memory that cannot grow past its limit. It is prepared once and then photographed; every evaluation
 * starts by putting the photograph back, which takes some microseconds and undoes all that earlier code did, to its globals,
 * prototypes and heap alike.
 */
export class Instance {
  /** False once something happened that the photograph cannot undo, or that left the memory large: throw the instance away. */
  reusable = true
  private interruption?: Interruption
  /** When the running job has to end; undefined while none runs. */
  private deadline?: number
  private console = new ConsoleLog()
  private image!: MemoryImage
  private guest!: Record<'enter' | 'keep' | 'settledValue' | 'captured' | 'describe', QuickJSHandle>
  private readonly memory: WebAssembly.Memory
  private readonly runtime: QuickJSRuntime
  private readonly context: QuickJSContext
  private readonly isAborted: () => boolean
  private readonly maxBytes: number
  private readonly maxResultChars: number
  private resultChars = 0

  static async create(options: InstanceOptions): Promise<Instance> {
    const maximum = Math.max(INITIAL_PAGES, options.memoryMb * PAGES_PER_MB)
    const memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum })
    const capped = newVariant(variant, {
      wasmMemory: memory,
      emscriptenModule: {
        instantiateWasm(imports, onSuccess) {
          const instance = new WebAssembly.Instance(options.wasm, imports)
          onSuccess(instance)
          return instance.exports
        },
        // Emscripten prints when it aborts; the error that it throws says enough.
        ...{ print() {}, printErr() {} },
      },
    })
    const quickjs = await newQuickJSWASMModuleFromVariant(capped)
    return new Instance(memory, quickjs.newRuntime({ maxStackSizeBytes: MAX_STACK_BYTES }), options)
  }

  private constructor(memory: WebAssembly.Memory, runtime: QuickJSRuntime, options: InstanceOptions) {
    this.memory = memory
    this.runtime = runtime
    this.isAborted = options.isAborted
    this.maxBytes = options.memoryMb * 2 ** 20
    this.maxResultChars = options.maxResultChars
    this.context = runtime.newContext()
    runtime.setInterruptHandler(() => this.shouldInterrupt())
    this.guest = this.boot(options.maxResultChars)
    this.image = new MemoryImage(memory)
  }

  /** Evaluates a job's scripts in order. Whatever the code does, this returns, unless one native operation alone runs for ages. */
  run(job: Job): Reply {
    this.image.restore()
    this.console = new ConsoleLog()
    this.interruption = undefined
    this.resultChars = 0
    this.deadline = performance.now() + job.timeoutMs
    try {
      this.enter(job.scope)
      const values = job.scripts.map((script) => this.counted(this.evaluate(script.code, script.form)))
      const captured = job.capture.map((name) => {
        const json = this.text(this.call('captured', this.context.newString(name)))
        return `${JSON.stringify(name)}:${this.counted(json)}`
      })
      const console = this.console.lines
      return { id: job.id, ok: true, values: `[${values.join()}]`, captured: `{${captured.join()}}`, console }
    } catch (error) {
      return { id: job.id, ok: false, ...this.failure(error, job.timeoutMs), console: this.console.lines }
    } finally {
      this.deadline = undefined
      if (this.memory.buffer.byteLength > INITIAL_PAGES * 65_536) this.reusable = false
    }
  }

  private enter(scope: string): void {
    // Emscripten's glue does not look whether there is room for the text that it copies in.
    if (Buffer.byteLength(scope) > this.maxBytes / 2) throw new GuestError('InternalError', OUT_OF_MEMORY, 0)
    this.call('enter', this.context.newString(scope))
  }

  /** All values together stay under the limit: they pile up in the worker's own heap, whose end would be the process's. */
  private counted(json: string): string {
    this.resultChars += json.length
    if (this.resultChars <= this.maxResultChars) return json
    throw new GuestError('RangeError', `the results are larger than ${this.maxResultChars} characters of JSON`, 0)
  }

  /** The script's value as JSON text. */
  private evaluate(code: string, form: 'expression' | 'body'): string {
    const lines = code.split('\n').length
    if (form === 'expression' && code.trim() === '') throw new GuestError('SyntaxError', 'the expression is empty', 0)
    const awaits = /\bawait\b/.test(code)
    const { source, flags } = form === 'expression' ? asExpression(code, awaits) : this.asBody(code, awaits)
    const value = this.unwrap(this.context.evalCode(source, 'script', flags), lines)
    const wrapped = (flags & EVAL_ASYNC) !== 0
    let kept = this.unwrap(
      this.context.callFunction(
        this.guest.keep,
        this.context.undefined,
        value,
        wrapped ? this.context.true : this.context.false,
      ),
      lines,
    )
    this.drainJobs(lines)
    while (this.context.typeof(kept) === 'undefined') {
      kept = this.unwrap(this.context.callFunction(this.guest.settledValue, this.context.undefined), lines)
      this.drainJobs(lines)
    }
    return this.text(kept)
  }

  /**
   * Without a `return` at its top level, a body is a block whose completion value counts, and a lone object literal is an object, not
   * a block with labels. Everything else is a function. Wrappers add no line, so that errors tell the author's line.
   */
  private asBody(code: string, awaits: boolean): { source: string; flags: number } {
    const flags = awaits ? EVAL_ASYNC : EVAL_GLOBAL
    if (/^\s*\{/.test(code) && this.compiles(`(${code}\n)`, flags)) return { source: `(${code}\n)`, flags }
    const block = `{${code}\n}`
    if (!/\breturn\b/.test(code) || this.compiles(block, flags)) return { source: block, flags }
    return { source: `(${awaits ? 'async ' : ''}function(){${code}\n})()`, flags: EVAL_GLOBAL }
  }

  private compiles(source: string, flags: number): boolean {
    const result = this.context.evalCode(source, 'script', flags | EVAL_COMPILE_ONLY)
    const compiled = !result.error
    result.dispose()
    return compiled
  }

  /** Runs promise reactions until none is left. Code that always adds another meets the deadline. */
  private drainJobs(lines: number): void {
    while (this.runtime.hasPendingJob()) {
      const result = this.runtime.executePendingJobs(JOBS_PER_SLICE)
      if (result.error) this.unwrap(result, lines)
      if (this.shouldInterrupt()) throw new Interrupted()
    }
  }

  private shouldInterrupt(): boolean {
    if (this.interruption) return true
    if (this.deadline === undefined) return false
    if (performance.now() > this.deadline) this.interruption = 'script_timeout'
    else if (this.isAborted()) this.interruption = 'script_aborted'
    return this.interruption !== undefined
  }

  private call(name: keyof Instance['guest'], ...args: QuickJSHandle[]): QuickJSHandle {
    return this.unwrap(this.context.callFunction(this.guest[name], this.context.undefined, ...args), 1)
  }

  private unwrap<T>(result: { value: T; error?: undefined } | { error: QuickJSHandle }, lines: number): T {
    if (!result.error) return result.value
    if (this.interruption) throw new Interrupted()
    const described = this.context.callFunction(this.guest.describe, this.context.undefined, result.error)
    if (this.interruption) throw new Interrupted()
    // Without room for an error object, QuickJS throws null; then there may be no room to describe it either.
    if (described.error || this.isStarved(result.error)) throw new GuestError('InternalError', OUT_OF_MEMORY, 0)
    const [name, message, line] = JSON.parse(this.text(described.value)) as [string, string, number]
    throw new GuestError(name, message, lines > 1 ? Math.min(line, lines) : 0)
  }

  private isStarved(error: QuickJSHandle): boolean {
    const nearlyFull = this.memory.buffer.byteLength > this.maxBytes * 0.75
    return nearlyFull && this.context.sameValue(error, this.context.null)
  }

  /** What the guest tells is JSON and never empty, unless there was no room for the copy. */
  private text(handle: QuickJSHandle): string {
    const text = this.context.getString(handle)
    if (text === '') throw new GuestError('InternalError', OUT_OF_MEMORY, 0)
    return text
  }

  private failure(error: unknown, timeoutMs: number) {
    if (error instanceof Interrupted) {
      return this.interruption === 'script_aborted'
        ? ({ code: 'script_aborted', message: 'the script was stopped' } as const)
        : ({ code: 'script_timeout', message: `the script ran longer than ${timeoutMs} ms` } as const)
    }
    if (error instanceof GuestError) {
      return error.name === 'InternalError' && error.message === OUT_OF_MEMORY
        ? ({ code: 'script_memory', message: 'the script wanted more memory than it may have' } as const)
        : ({ code: 'script_error', message: error.told() } as const)
    }
    // The host's own error cut through QuickJS's frames: its state is not to be trusted any more.
    this.reusable = false
    const tooDeep = error instanceof RangeError
    return {
      code: 'script_error',
      message: tooDeep ? 'the script is nested too deeply' : 'the script broke its sandbox',
    } as const
  }

  private boot(maxResultChars: number): Instance['guest'] {
    const { context } = this
    const write = context.newFunction('write', (level, message) => {
      this.console.add(this.text(level), JSON.parse(this.text(message)) as string)
    })
    const random = context.newFunction('random', () => context.newNumber(Math.random()))
    const start = context.unwrapResult(context.evalCode(guestSource, 'guest', EVAL_GLOBAL))
    const limit = context.newNumber(maxResultChars)
    const guest = context.unwrapResult(context.callFunction(start, context.undefined, write, random, limit))
    const member = (name: string) => context.getProp(guest, name)
    return {
      enter: member('enter'),
      keep: member('keep'),
      settledValue: member('settledValue'),
      captured: member('captured'),
      describe: member('describe'),
    }
  }
}

const OUT_OF_MEMORY = 'out of memory'

function asExpression(code: string, awaits: boolean): { source: string; flags: number } {
  return { source: awaits ? `(async()=>(${code}\n))()` : `(${code}\n)`, flags: EVAL_GLOBAL }
}

/** The deadline or an abort ended the code. */
class Interrupted extends Error {}

/** What the user's code threw. */
class GuestError extends Error {
  readonly line: number

  constructor(name: string, message: string, line: number) {
    super(message)
    this.name = name
    this.line = line
  }

  /** Plain errors by their message, others with their type in front; the line where the code has more than one. */
  told(): string {
    const type = this.name === '' || this.name === 'Error' ? '' : `${this.name}: `
    return `${type}${this.message}${this.line > 0 ? ` (line ${this.line})` : ''}`
  }
}
