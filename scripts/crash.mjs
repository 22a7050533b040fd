/* `npm run crash`: kills the product again and again and checks what is left, built first if that is needed. */
import './node24.mjs'
import { buildIfNeeded } from './build.mjs'

buildIfNeeded()
await import('../test/support/typescript.mjs')
await import('../test/crash/main.ts')
