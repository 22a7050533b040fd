import { parentPort, workerData } from 'node:worker_threads'
import { Instance } from './instance.js'
import type { Job, Reply, WorkerSetup } from './protocol.js'

// A sandbox worker: evaluates one job after the other. Each tenant has an instance of its own, so that not even the remains of one
// tenant's data in free memory are near another's code; those used last are kept warm.
const setup = workerData as WorkerSetup
const abort = new Int32Array(setup.abort)
const warm = new Map<string, Instance>()
let current = 0

async function answer(job: Job): Promise<Reply> {
  current = job.id
  const instance = warm.get(job.tenant) ?? (await Instance.create({ ...setup, isAborted }))
  warm.delete(job.tenant)
  const reply = instance.run(job)
  if (instance.reusable) warm.set(job.tenant, instance)
  for (const tenant of warm.keys()) {
    if (warm.size <= setup.warmTenants) break
    warm.delete(tenant)
  }
  return reply
}

function isAborted(): boolean {
  return Atomics.load(abort, 0) === current
}

parentPort?.on('message', (job: Job) => {
  // A rejection ends the worker; the pool reports the job as failed and starts another worker.
  void answer(job).then((reply) => parentPort?.postMessage(reply))
})

parentPort?.postMessage('ready')
