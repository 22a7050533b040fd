import { IntField } from '../../../platform/openapi/fields.js'
import type { StorageQuota, Usage } from '../embedded/bucket-usage.js'

/** What a tenant keeps in the embedded store. */
export class FacilFlowStorageUsage {
  @IntField({
    description: 'The bytes of all objects together. A copy counts as its original does.',
    example: 73_400_320,
  })
  bytes: number

  @IntField({ description: 'Objects, uploads that are not completed, and their parts.', example: 128 })
  objects: number

  @IntField({
    description: 'How many bytes there may be at most. Null is no limit.',
    example: 107_374_182_400,
    nullable: true,
  })
  quotaBytes: number | null

  @IntField({
    description: 'How many objects there may be at most. Null is no limit.',
    example: 1_000_000,
    nullable: true,
  })
  quotaObjects: number | null
}

export function toUsage({ used, quota }: { used: Usage; quota: StorageQuota }): FacilFlowStorageUsage {
  return {
    bytes: used.bytes,
    objects: used.objects,
    quotaBytes: Number.isFinite(quota.bytes) ? quota.bytes : null,
    quotaObjects: Number.isFinite(quota.objects) ? quota.objects : null,
  }
}
