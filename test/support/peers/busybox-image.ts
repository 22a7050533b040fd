import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { pack } from 'tar-stream'

const BINARY = '/bin/busybox'

/** A root file system as a tar: Debian's busybox-static under the names of all that it can be, and the usual folders. */
export function busyboxRoot(): Readable {
  const tar = pack()
  for (const name of ['bin', 'etc', 'run', 'var']) tar.entry({ name, type: 'directory', mode: 0o755 })
  tar.entry({ name: 'tmp', type: 'directory', mode: 0o1777 })
  tar.entry({ name: 'bin/busybox', mode: 0o755 }, readFileSync(BINARY))
  const names = execFileSync(BINARY, ['--list'], { encoding: 'utf8' }).trim().split('\n')
  // It lists itself: a link of that name would take the place of the program.
  for (const name of names.filter((name) => name !== 'busybox'))
    tar.entry({ name: `bin/${name}`, type: 'symlink', linkname: 'busybox' })
  tar.entry({ name: 'etc/passwd' }, 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n')
  tar.finalize()
  return Readable.from(tar)
}
