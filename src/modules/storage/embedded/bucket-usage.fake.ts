import type { DataSource } from 'typeorm'
import type { Usage } from './bucket-usage.js'

/** What a tenant keeps, counted from the rows themselves. */
export async function recounted(dataSource: DataSource, tenantId: string): Promise<Usage> {
  const [row] = await dataSource.query(
    `select coalesce(sum(bytes), 0)::float8 as bytes, coalesce(sum(objects), 0)::float8 as objects from (
        select size as bytes, 1 as objects from bucket_object where tenant_id = $1
        union all select 0, 1 from bucket_upload where tenant_id = $1
        union all
        select size, 1 from bucket_upload_part join bucket_upload on id = upload_id where tenant_id = $1) counted`,
    [tenantId],
  )
  return row
}
