/*
 * Import this first in an entry point: where an older Node has started it, it starts again under the Node 24 that came with the
 * packages, and what is imported after this never runs here. Plain JavaScript that Node 18 understands.
 */
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'

const WANTED = 24

if (major(process.versions.node) < WANTED) await startAgain()

function major(version) {
  return Number(version.split('.')[0])
}

function startAgain() {
  const node = bundledNode()
  if (!node || node === process.execPath) {
    console.error(
      `Millrace needs Node ${WANTED}; this is ${process.version}, and "npm ci" has installed no other for ${process.platform}-${process.arch}.`,
    )
    process.exit(1)
  }
  const child = spawn(node, [...process.execArgv, ...process.argv.slice(1)], { stdio: 'inherit' })
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) {
    // A terminal sends Ctrl-C to the child as well: it must not come twice, which means "at once".
    process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY ? undefined : child.kill(signal)))
  }
  child.once('error', (error) => {
    console.error(`Node ${WANTED} did not start: ${error.message}`)
    process.exit(1)
  })
  child.once('exit', (code, signal) => {
    if (!signal) process.exit(code ?? 1)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
  return new Promise(() => {})
}

function bundledNode() {
  try {
    return createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/bin/node`)
  } catch {
    return undefined
  }
}
