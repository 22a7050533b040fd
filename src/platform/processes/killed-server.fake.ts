import { ScriptRuns } from './process.fake.js'
import type { Profile } from './profiles.js'

/** As a program: a server that runs steps until it is killed. `<token> <profile>…`; says when all of them are at work. */
const [token = '', ...profiles] = process.argv.slice(2)
const runs = new ScriptRuns()
let up = 0

const script = `
  trap '' TERM HUP
  (setsid bash -c 'trap "" TERM HUP; exec -a ${token}-demon sleep 600' > /dev/null 2>&1 &)
  bash -c 'exec -a ${token}-child sleep 600' &
  echo up; wait`

for (const profile of profiles as Profile[])
  runs
    .run(profile, script, {
      run: token,
      limits: { wallMs: 600_000 },
      onLine: (_, { text }) => {
        if (text === 'up' && ++up === profiles.length) process.stdout.write('all up\n')
      },
    })
    .catch((error) => process.stderr.write(`${error}\n`))
