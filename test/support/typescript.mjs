import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire, registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'

/**
 * `node --import ./test/support/typescript.mjs file.ts` runs a process of its own straight from the sources, for the tests that
 * kill processes. Types are not checked, decorators and their metadata are as in the build.
 *
 * What a source becomes is kept, by its content: the server has a thousand files, and compiling them is two thirds of the eight seconds
 * of a processor that its start takes otherwise.
 */
const require = createRequire(import.meta.url)
const root = fileURLToPath(new URL('../../', import.meta.url))
const kept = `${root}node_modules/.cache/sources/`
const tsconfig = readFileSync(`${root}tsconfig.json`, 'utf8')
const { version } = JSON.parse(readFileSync(require.resolve('typescript/package.json'), 'utf8'))
const own = readFileSync(import.meta.filename, 'utf8')

let compiler

registerHooks({
  resolve(specifier, context, next) {
    if (specifier.startsWith('.') && specifier.endsWith('.js') && context.parentURL) {
      const source = new URL(specifier.replace(/\.js$/, '.ts'), context.parentURL)
      if (existsSync(source)) return { url: source.href, format: 'module', shortCircuit: true }
    }
    return next(specifier, context)
  },
  load(url, context, next) {
    if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context)
    return { format: 'module', source: compiled(fileURLToPath(url)), shortCircuit: true }
  },
})

function compiled(fileName) {
  const source = readFileSync(fileName, 'utf8')
  const content = JSON.stringify([version, tsconfig, own, fileName, source])
  const path = `${kept}${createHash('sha256').update(content).digest('hex')}.js`
  try {
    return readFileSync(path, 'utf8')
  } catch {
    compiler ??= newCompiler()
    const text = compiler(source, fileName)
    keep(path, text)
    return text
  }
}

/** Several processes may be at it, and whoever reads finds all of a file or nothing. One that runs as nobody may keep nothing. */
function keep(path, text) {
  const whole = `${path}.${process.pid}`
  try {
    mkdirSync(kept, { recursive: true })
    writeFileSync(whole, text)
    renameSync(whole, path)
  } catch {}
}

function newCompiler() {
  const ts = require('typescript')
  const { config } = ts.parseConfigFileTextToJson('tsconfig.json', tsconfig)
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root)
  const compilerOptions = {
    ...options,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    noEmit: false,
    incremental: false,
    sourceMap: false,
    inlineSourceMap: true,
  }
  return (source, fileName) => ts.transpileModule(source, { fileName, compilerOptions }).outputText
}
