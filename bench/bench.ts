import { availableParallelism } from 'node:os'
import { atRest } from './at-rest.js'
import { engineAlone } from './engine-alone.js'
import { graphileWorker } from './graphile.js'
import { kills } from './kills.js'
import { Lab } from './lab.js'
import { history } from './lists.js'
import { neighbours } from './neighbours.js'
import { oneAtATime } from './one-at-a-time.js'
import { readOptions } from './options.js'
import { overHttp } from './over-http.js'

const options = readOptions(process.argv.slice(2))
const isAsked = (name: string) => options.only.length === 0 || options.only.some((part) => name.includes(part))

const lab = await Lab.open(options)
console.log(
  `${availableParallelism()} cores shared by the load, the server and Postgres; fsync on; ${lab.seconds} s each\n`,
)
try {
  await overHttp(lab, isAsked)
  if (isAsked('one at a time')) await oneAtATime(lab)
  if (isAsked('neighbours')) await neighbours(lab)
  if (isAsked('kill')) await kills(lab)
  if (isAsked('lists') || isAsked('history')) await history(lab, isAsked)
  if (isAsked('at rest')) await atRest(lab)
  const ours = isAsked('engine alone') ? await engineAlone(lab) : 0
  if (isAsked('graphile')) await graphileWorker(lab, ours)
} finally {
  await lab.close()
}
