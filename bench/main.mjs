/* `npm run bench [-- --short] [-- --profile]`: builds the product if needed and measures it. */
import '../scripts/node24.mjs'
import { buildIfNeeded } from '../scripts/build.mjs'

buildIfNeeded()
await import('../test/support/typescript.mjs')
await import('./bench.ts')
