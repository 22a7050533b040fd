// The storage emulator of firebase-tools without its rules, which would need Java. Says its port, and ends with its standard input.
const { createServer } = require('node:net')
const { StorageEmulator } = require('firebase-tools/lib/emulator/storage')
const { EmulatorRegistry } = require('firebase-tools/lib/emulator/registry')

const idle = async () => {}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

async function main() {
  const port = await freePort()
  const emulator = new StorageEmulator({ projectId: 'demo-millrace', host: '127.0.0.1', port, rules: [] })
  emulator._rulesRuntime = { start: idle, stop: idle }
  emulator._rulesManager = { start: idle, stop: idle, getRuleset: () => undefined }
  await EmulatorRegistry.start(emulator)
  console.log(JSON.stringify({ port }))
}

process.stdin.resume().on('end', () => process.exit())
main().catch((error) => {
  console.error(error)
  process.exit(1)
})
