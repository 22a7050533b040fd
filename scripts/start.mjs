/* `node scripts/start.mjs api|worker|rotate-keys`: starts a program of the product, built first if that is needed. */
import './node24.mjs'
import { buildIfNeeded } from './build.mjs'

const [entry = 'api'] = process.argv.slice(2)
if (!/^[a-z-]+$/.test(entry)) {
  console.error(`There is no program ${JSON.stringify(entry)}. Try api, worker or rotate-keys.`)
  process.exit(1)
}
buildIfNeeded()
await import(new URL(`../dist/app/${entry}.js`, import.meta.url).href)
