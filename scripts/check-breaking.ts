import { breakingChanges, mayBreak, presentContract, release, releasedContract } from './contract.js'

/*
 * `npm run check:breaking`: what is published now keeps what the last release promised, or its version says that it does not.
 * With `--release` (`npm run openapi:release`) it becomes the last release itself, under the same condition.
 */

const isRelease = process.argv.includes('--release')
const present = presentContract()
const released = releasedContract()
const [before, now] = [released, present].map(({ document }) => String(document.info.version)) as [string, string]
const changes = breakingChanges(released, present)
for (const change of changes) console.error(change)
if (changes.length > 0 && !mayBreak(before, now)) {
  console.error(
    `${changes.length} changes break clients of ${before}, and the version ${now} does not say so. Take them back, or raise the version in package.json.`,
  )
  process.exit(1)
}
console.log(
  `${now} keeps what ${before} promised${changes.length > 0 ? `, but for these ${changes.length} changes` : ''}`,
)
if (isRelease) release(present)
