/* `npm run demo`: shows the product at work, built first if that is needed. */
import './node24.mjs'
import { buildIfNeeded } from './build.mjs'

buildIfNeeded()
await import(new URL('../dist/demo/demo.js', import.meta.url).href)
