import { IntField } from '../platform/openapi/fields.js'
import { LimitField, PageNumberField } from '../platform/openapi/paging.js'

/** The page of a list that is asked for: pages are counted from 0. */
export class Flow8PageQuery {
  @PageNumberField()
  page = 0

  @LimitField({ default: 25, max: 100 })
  size = 25
}

/** What stands beside a page's `data`. A list of things extends it by these. */
export abstract class Flow8Page {
  @IntField({ description: 'How many there are in all.', example: 142 })
  total: number

  @IntField({ description: 'Which page this is, counted from 0.', example: 0 })
  page: number

  @IntField({ description: 'How many a page has at most.', example: 25 })
  size: number

  @IntField({ description: 'How many pages there are.', example: 6 })
  pages: number
}

/** The envelope of flow8's lists. */
export function pageOf<T>(data: T[], total: number, { page, size }: Flow8PageQuery): Flow8Page & { data: T[] } {
  return { data, total, page, size, pages: Math.ceil(total / size) }
}

/** Where a page begins, for services that count from an offset. */
export function placeOf({ page, size }: Flow8PageQuery): { limit: number; offset: number } {
  return { limit: size, offset: page * size }
}
