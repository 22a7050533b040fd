import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'
import type { WorkerSetup } from './protocol.js'

/**
 * Resolves the `.js` of an import to the `.ts` beside the importing source. Node itself strips the types, so a worker can run from
 * sources (in tests) as well as from the build; its files must keep to erasable syntax.
 */
const RESOLVE_SOURCES = `
import { registerHooks } from 'node:module'
registerHooks({
  resolve(specifier, context, next) {
    const ours = specifier.startsWith('.') && context.parentURL?.endsWith('.ts')
    return next(ours ? specifier.replace(/\\.js$/, '.ts') : specifier, context)
  },
})`

let compiled: Promise<WebAssembly.Module> | undefined

/** QuickJS, compiled once per process. */
export function compileQuickJs(): Promise<WebAssembly.Module> {
  const path = createRequire(import.meta.url).resolve('@jitl/quickjs-wasmfile-release-sync/wasm')
  compiled ??= readFile(path).then((bytes) => WebAssembly.compile(bytes))
  return compiled
}

/** Starts a sandbox worker with an empty environment. */
export function startWorker(setup: WorkerSetup): Worker {
  const fromSources = import.meta.url.endsWith('.ts')
  return new Worker(new URL(fromSources ? './worker.ts' : './worker.js', import.meta.url), {
    workerData: setup,
    env: {},
    execArgv: fromSources
      ? ['--no-warnings', '--import', `data:text/javascript,${encodeURIComponent(RESOLVE_SOURCES)}`]
      : [],
  })
}
