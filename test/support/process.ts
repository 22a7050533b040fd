import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** A Node process of its own that runs from the sources, for tests that start several or kill one. */
export interface SourceProcess {
  pid: number
  child: ChildProcess
  /** Resolves with the first line written from now on that matches; rejects when the process ends first. */
  line(pattern: RegExp): Promise<string>
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; output: string; errors: string }>
}

const loader = fileURLToPath(new URL('typescript.mjs', import.meta.url))

/** Runs `node ...args` with TypeScript understood. Its environment is empty but for `environment`. */
export function runFromSource(args: string[], environment: Record<string, string> = {}): SourceProcess {
  const child = spawn(process.execPath, ['--import', loader, ...args], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const ended: SourceProcess['ended'] = new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, output, errors }))
  })
  return {
    pid: child.pid ?? 0,
    child,
    ended,
    line(pattern) {
      const from = output.length
      return new Promise((resolve, reject) => {
        const look = () => {
          const found = output
            .slice(from)
            .split('\n')
            .slice(0, -1)
            .find((line) => pattern.test(line))
          if (found === undefined) return
          child.stdout.off('data', look)
          resolve(found)
        }
        child.stdout.on('data', look)
        ended.then((end) => reject(new Error(`ended before it wrote ${pattern}: ${end.output}${end.errors}`)), reject)
      })
    },
  }
}
