import { Injectable } from '@nestjs/common'
import { Sql, type Statement } from '../../../platform/database/sql.js'
import { Metrics } from '../../../platform/telemetry/metrics.js'
import type { Usage } from './bucket-usage.js'
import { EmbeddedStores } from './embedded-stores.js'

const ALL: Statement = {
  name: 'bucket_usage_all',
  text: `select coalesce(sum(bytes), 0)::float8 as bytes, coalesce(sum(objects), 0)::float8 as objects,
      coalesce(max(bytes), 0)::float8 as most_bytes, coalesce(max(objects), 0)::float8 as most_objects
    from bucket_usage`,
}

/** What all tenants keep in the embedded store, and how near the fullest of them is to what it may. */
@Injectable()
export class BucketGauges {
  constructor(metrics: Metrics, sql: Sql, stores: EmbeddedStores) {
    const all = async () => {
      const [row] = await sql.query<Usage & { most_bytes: number; most_objects: number }>(ALL)
      return row ?? { bytes: 0, objects: 0, most_bytes: 0, most_objects: 0 }
    }
    metrics.asked(
      { name: 'millrace_bucket_bytes', help: 'Bytes of all objects in the embedded store. Of all processes.' },
      async () => (await all()).bytes,
    )
    metrics.asked(
      {
        name: 'millrace_bucket_objects',
        help: 'Objects in the embedded store, and parts of unfinished uploads. Of all processes.',
      },
      async () => (await all()).objects,
    )
    metrics.asked(
      {
        name: 'millrace_bucket_fullest_ratio',
        help: 'What the fullest tenant keeps of what it may; at 1 its uploads are refused. Of all processes.',
      },
      async () => {
        const { most_bytes, most_objects } = await all()
        return Math.max(most_bytes / stores.quota.bytes, most_objects / stores.quota.objects)
      },
    )
  }
}
