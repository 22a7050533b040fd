/* `node bench/objects.mjs [GiB]`: uploads one object through the API and downloads it, and tells how fast, and what memory the server takes. */
import '../scripts/node24.mjs'
import { buildIfNeeded } from '../scripts/build.mjs'

buildIfNeeded()
await import('../test/support/typescript.mjs')
await import('./objects.ts')
