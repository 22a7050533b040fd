import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { STORIES, type Story } from './stories.js'

const SOURCES = `sources:
  - { name: crash, type: fs, path: . }
profiles:
  jobs: [secure, permissive, disabled]
`
const LINES = 2_000

/** Lays out the jobs among the stories. Returns the file that `JOB_SOURCES` names. */
export async function layOutJobs(folder: string, address: string): Promise<string> {
  await mkdir(folder, { recursive: true })
  for (const story of STORIES.filter(({ kind }) => kind === 'job')) {
    const own = join(folder, story.name)
    await mkdir(own)
    await writeFile(join(own, 'config.yaml'), story.definition(address))
    for (const step of story.stages.flat()) await writeFile(join(own, `${step}.sh`), scriptOf(story, step, address))
  }
  const file = join(folder, 'sources.yaml')
  await writeFile(file, SOURCES)
  return file
}

/** What the artifact of the run with this number holds. */
export function artifactOf(n: number): string {
  return Array.from({ length: LINES }, (_, line) => `line ${line + 1} of ${n}\n`).join('')
}

/** Tells the outside which step of which run it is, says its secret, and keeps what it has to keep. */
function scriptOf({ keeps }: Story, step: string, address: string): string {
  const [host, port] = address.split(':')
  return `set -eu
echo "token $(cat "$FLWD_SECRETS_DIR/token")"
body="{\\"n\\":$ARG_N}"
exec 3<> /dev/tcp/${host}/${port}
printf 'POST /quick HTTP/1.1\\r\\nhost: outside\\r\\nconnection: close\\r\\nidempotency-key: %s\\r\\ncontent-length: %s\\r\\n\\r\\n%s' \
  "\${RUN_DIR##*/}:${step}" "\${#body}" "$body" >&3
read -r _ status _ <&3
[ "$status" = 200 ]
${keeps === step ? `for line in $(seq 1 ${LINES}); do echo "line $line of $ARG_N"; done > "$FLWD_ARTIFACTS_DIR/report.txt"` : ''}
`
}
