import { Flow8Page, type Flow8PageQuery, pageOf } from '../../../dialects/flow8.paging.js'
import { ArrayField, DateField, IdField, IntField, StringField } from '../../../platform/openapi/fields.js'
import type { FlowGroup } from '../flow-group.entity.js'
import { type GroupPage, LAST_INDEX } from '../groups.service.js'

const MEMBERS = {
  of: 'string',
  itemMaxLength: 64,
  description:
    'Ids of the accounts that belong to it; layers that wait for an approval may name the group in their place.',
} as const

/** A group to be made. */
export class Flow8NewGroup {
  @StringField({
    description: 'The name people know it by; no two groups share one.',
    example: 'Billing',
    maxLength: 200,
  })
  name: string

  @IntField({
    description: 'Its place in the list; groups with the same one stand by name. Left out, it comes last.',
    example: 0,
    max: LAST_INDEX,
    optional: true,
  })
  index?: number

  @ArrayField({ ...MEMBERS, example: [], optional: true })
  members?: string[]
}

/** What is to be different. */
export class Flow8GroupChange {
  @StringField({
    description: 'The name people know it by; no two groups share one.',
    example: 'Billing and dunning',
    minLength: 1,
    maxLength: 200,
    optional: true,
  })
  name?: string

  @IntField({ description: 'Its place in the list.', example: 1, max: LAST_INDEX, optional: true })
  index?: number

  @ArrayField({ ...MEMBERS, example: [], optional: true })
  members?: string[]
}

/** A folder of flows, which may share key-value entries. */
export class Flow8Group {
  @IdField({ description: 'The id.', example: 'group-123' })
  id: string

  @StringField({ description: 'The name people know it by.', example: 'Billing', maxLength: 200 })
  name: string

  @IntField({ description: 'Its place in the list.', example: 0, max: LAST_INDEX })
  index: number

  @ArrayField({ ...MEMBERS, example: ['account-123'] })
  members: string[]

  @DateField({ description: 'When it was made.', example: '2023-01-01T12:00:00Z' })
  createdAt: string

  @DateField({ description: 'When it was last changed.', example: '2023-01-01T12:00:00Z' })
  updatedAt: string
}

/** A page of groups. */
export class Flow8GroupList extends Flow8Page {
  @ArrayField({ of: () => Flow8Group, description: 'This page.', maxItems: 100 })
  data: Flow8Group[]
}

export function toGroup(group: FlowGroup): Flow8Group {
  return {
    id: group.id,
    name: group.name,
    index: group.index,
    members: group.members,
    createdAt: group.createdAt.toISOString(),
    updatedAt: group.updatedAt.toISOString(),
  }
}

export function toGroupList({ groups, total }: GroupPage, query: Flow8PageQuery): Flow8GroupList {
  return pageOf(groups.map(toGroup), total, query)
}
