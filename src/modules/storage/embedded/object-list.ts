import type { Sql, Statement } from '../../../platform/database/sql.js'
import type { ObjectInfo, ObjectPage } from '../storage-driver.js'
import type { EmbeddedObjectQuery } from './embedded-objects.js'
import { after, afterAll, BEHIND_ALL, continuationOf, fromContinuation } from './key-order.js'

interface ListedRow {
  key: string
  size: string
  etag: string
  content_type: string
  last_modified: Date
  folder: string | null
  next_from: string
}

const RANGE = 'from bucket_object where tenant_id = $1 and bucket = $2'

const LIST: Statement = {
  name: 'bucket_list',
  text: `select key, size, etag, content_type, last_modified, null as folder, key || E'\\x01' as next_from
    ${RANGE} and key >= $3 and key < $4 order by key limit $5`,
}

/** One row of a listing with folders: the next object, or what stands for the folder that it is in. $6 is the prefix, $7 the delimiter. */
const STEP = `
  select key, size, etag, content_type, last_modified,
      case when at > 0 then left(key, length($6) + at - 1 + length($7)) end as folder,
      case when at > 0 then left(key, length($6) + at - 1) || $8 else key || E'\\x01' end as next_from
    from (select *, strpos(substr(key, length($6) + 1), $7) as at ${RANGE}`

/** Each step goes down the index once, past all that a folder holds: 1,000 folders cost the same whatever is in them. */
const LIST_FOLDERS: Statement = {
  name: 'bucket_list_folders',
  text: `with recursive walk as (
      select 1 as number, first.* from (${STEP} and key >= $3 and key < $4 order by key limit 1) o) as first
      union all
      select walk.number + 1, next.* from walk
        cross join lateral (${STEP} and key >= walk.next_from and key < $4 order by key limit 1) o) as next
        where walk.number < $5
    ) select key, size, etag, content_type, last_modified, folder, next_from from walk order by number`,
}

/** A page of a bucket by key, in one statement. */
export async function listed(
  sql: Sql,
  tenantId: string,
  bucket: string,
  query: EmbeddedObjectQuery,
): Promise<ObjectPage> {
  const { prefix = '', delimiter = '', startAfter = '', limit } = query
  // No key holds U+0000.
  if (`${prefix}${startAfter}`.includes('\0')) return { objects: [], folders: [] }
  if (delimiter.includes('\0')) return await listed(sql, tenantId, bucket, { ...query, delimiter: '' })
  // One more than asked for tells whether there is another page.
  const range = [tenantId, bucket, startOf(query), prefix === '' ? BEHIND_ALL : afterAll(prefix), limit + 1]
  const rows =
    delimiter === ''
      ? await sql.query<ListedRow>(LIST, range)
      : await sql.query<ListedRow>(LIST_FOLDERS, [...range, prefix, delimiter, afterAll(delimiter)])
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return {
    objects: shown.filter(({ folder }) => folder === null).map(toListed),
    folders: shown.flatMap(({ folder }) => folder ?? []),
    ...(last && rows.length > limit && { next: continuationOf(last.next_from) }),
  }
}

function startOf({ prefix = '', delimiter = '', continuation, startAfter }: EmbeddedObjectQuery): string {
  if (continuation !== undefined) return later(fromContinuation(continuation), prefix)
  if (startAfter === undefined) return prefix
  const isFolder =
    delimiter !== '' &&
    startAfter.startsWith(prefix) &&
    startAfter.indexOf(delimiter, prefix.length) === startAfter.length - delimiter.length
  return later(isFolder ? afterAll(startAfter) : after(startAfter), prefix)
}

function later(one: string, other: string): string {
  return Buffer.compare(Buffer.from(one), Buffer.from(other)) > 0 ? one : other
}

function toListed(row: ListedRow): ObjectInfo {
  return {
    key: row.key,
    size: Number(row.size),
    etag: row.etag,
    lastModified: row.last_modified,
    contentType: row.content_type,
  }
}
