/* `node bench/s3.mjs [objects] [MiB]`: small objects and one large one through the S3 protocol, there and back, and what that costs. */
import '../scripts/node24.mjs'
import { buildIfNeeded } from '../scripts/build.mjs'

buildIfNeeded()
await import('../test/support/typescript.mjs')
await import('./s3.ts')
