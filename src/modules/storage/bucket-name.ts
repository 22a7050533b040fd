const NAME = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
const LIKE_AN_ADDRESS = /^\d{1,3}(\.\d{1,3}){3}$/
const PREFIXES = ['xn--', 'sthree-', 'amzn-s3-demo-']
const SUFFIXES = ['-s3alias', '--ol-s3', '--x-s3', '--table-s3', '.mrap']

/** What is wrong with a bucket's name by S3's rules, which every provider takes; undefined where it will do. */
export function bucketNameFault(name: string): string | undefined {
  if (!NAME.test(name))
    return 'must be 3 to 63 lower-case letters, digits, hyphens and dots, with a letter or digit at both ends'
  if (/\.\.|\.-|-\./.test(name)) return 'must have letters or digits on both sides of each dot'
  if (LIKE_AN_ADDRESS.test(name)) return 'must not look like an IP address'
  const prefix = PREFIXES.find((prefix) => name.startsWith(prefix))
  if (prefix) return `must not begin with ${prefix}`
  const suffix = SUFFIXES.find((suffix) => name.endsWith(suffix))
  return suffix && `must not end in ${suffix}`
}
