import { IntField } from '../platform/openapi/fields.js'

/** What stands beside the things of a page. A list of things extends it by these. */
export abstract class FlowRunnerPage {
  @IntField({ description: 'How many there are on all pages.', example: 2 })
  total: number

  @IntField({ description: 'How many a page holds at most.', example: 10 })
  limit: number

  @IntField({ description: 'How many come before this page.', example: 0 })
  offset: number
}
