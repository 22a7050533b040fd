/* `node scripts/start.mjs api|worker`: starts a process of the product, built first if that is needed. */
import './node24.mjs'
import { buildIfNeeded } from './build.mjs'

const [entry = 'api'] = process.argv.slice(2)
if (!/^[a-z-]+$/.test(entry)) {
  console.error(`There is no process ${JSON.stringify(entry)}. Try api or worker.`)
  process.exit(1)
}
buildIfNeeded()
await import(new URL(`../dist/app/${entry}.js`, import.meta.url).href)
