import type { Principal } from '../../platform/auth/principal.js'

const ARTIFACTS = 'artifacts-'

/** Where the artifacts of an account's runs are: readable by that account as a bucket, and written by its runs alone. */
export function artifactsBucket(accountId: string): string {
  return `${ARTIFACTS}${accountId.slice(accountId.indexOf('_') + 1).toLowerCase()}`
}

/** Buckets are their tenant's, but for those with the artifacts of one account: to others those do not exist. */
export function isVisible({ accountId }: Pick<Principal, 'accountId'>, bucket: string): boolean {
  return !isManaged(bucket) || bucket === artifactsBucket(accountId)
}

/** Buckets that nobody makes, fills or empties by hand. */
export function isManaged(bucket: string): boolean {
  return bucket.startsWith(ARTIFACTS)
}
