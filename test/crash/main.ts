import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { noRedis } from '../support/peers/redis.js'
import { optionsFrom } from './options.js'
import { accusation, report } from './report.js'
import { runWave, type WaveResult } from './wave.js'

/** Kills on one database, after which everything is checked and begun anew. */
const KILLS_A_WAVE = 50

const dist = fileURLToPath(new URL('../../dist', import.meta.url))
const options = optionsFrom(process.argv.slice(2), !noRedis)
const root = options.folder ?? (await mkdtemp(join(tmpdir(), 'millrace-crash-')))
await mkdir(root, { recursive: true })
await chmod(root, 0o711)

const hasWorker = existsSync(join(dist, 'app', 'worker.js'))
const roles = hasWorker ? (['api', 'api', 'worker'] as const) : (['api', 'api', 'api'] as const)
const least = options.redis === 'both' ? 2 : 1
const count = Math.max(least, Math.ceil(options.kills / KILLS_A_WAVE))

console.log(`seed ${options.seed}: ${options.kills} kills in ${count} waves, on ${roles.join(', ')}`)
const waves: WaveResult[] = []
for (let index = 0; index < count; index++) {
  const redis = options.redis === 'both' ? index % 2 === 1 : options.redis === 'with'
  const kills = Math.floor((options.kills * (index + 1)) / count) - Math.floor((options.kills * index) / count)
  const seed = options.seed + index
  console.log(`\nwave ${index + 1} ${redis ? 'with' : 'without'} Redis, seed ${seed}`)
  const folder = join(root, `wave-${index + 1}`)
  const wave = await runWave({ ...options, kills, seed, redis, roles, dist, folder, say: console.log })
  waves.push(wave)
  if (wave.violations.length > 0) console.log(accusation(wave))
  else if (!options.folder) await rm(folder, { recursive: true })
}

const broken = waves.filter(({ violations }) => violations.length > 0).length
console.log(`\n${report(waves, options.seed)}`)
console.log(broken === 0 ? '\nall invariants hold' : `\n${broken} of ${count} waves broke an invariant: see ${root}`)
if (broken === 0 && !options.folder) await rm(root, { recursive: true })
process.exit(broken === 0 ? 0 : 1)
