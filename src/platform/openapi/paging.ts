import { applyDecorators, type Type } from '@nestjs/common'
import { Transform } from 'class-transformer'
import { IntField, QueryIntField, StringField, wholeNumber } from './fields.js'

/**
 * How lists come in pages: the fields of a query that ask for one. What they are is kept with the query's class, so that answers can
 * lead to the other pages, and documents say so.
 */
export interface Paging {
  /** The parameter that says how many a page has at most. */
  size: { name: string; default: number; max: number }
  /** The parameter that says where the page begins: behind so many items, at which page from 0, or where the page before ended. */
  start: { name: string; counts: 'items' | 'pages' | 'nothing' }
}

const SIZE = Symbol('size of a page')
const START = Symbol('start of a page')

/** A page's size in the query. Above the maximum it is lowered to it; zero, negative and non-numbers are faults. */
export function LimitField(options: { default: number; max: number }): PropertyDecorator {
  return applyDecorators(
    part(SIZE, (name): Paging['size'] => ({ name, ...options })),
    Transform(({ value }) => {
      const number = wholeNumber(value)
      return typeof number === 'number' ? Math.min(number, options.max) : number
    }),
    IntField({
      description: `How many to answer at most. More than ${options.max} counts as ${options.max}.`,
      example: options.default,
      default: options.default,
      optional: true,
      min: 1,
    }),
  )
}

/** How many to skip, in the query. */
export function OffsetField(): PropertyDecorator {
  return applyDecorators(
    starts('items'),
    QueryIntField({ description: 'How many to skip.', example: 0, default: 0, optional: true, min: 0 }),
  )
}

/** Which page, in the query, counted from 0. */
export function PageNumberField(): PropertyDecorator {
  const description = 'Which page, counted from 0.'
  return applyDecorators(
    starts('pages'),
    QueryIntField({ description, example: 0, default: 0, optional: true, min: 0, max: 1_000_000 }),
  )
}

/** Where the page before ended, in the query: the `next` of its answer. */
export function ContinuationField(options: { example: string; maxLength: number }): PropertyDecorator {
  return applyDecorators(
    starts('nothing'),
    StringField({ description: '`next` of the page before.', optional: true, ...options }),
  )
}

/** The fields `limit` and `offset`, for queries to extend. */
export function pagedBy(limits: { default: number; max: number }) {
  class PageQuery {
    @LimitField(limits)
    limit = limits.default

    @OffsetField()
    offset = 0
  }
  return PageQuery
}

/** How the answers to a handler are paged, by the class of its query; undefined where they are not. */
export function pagingOf(controller: Type<unknown>, handler: string): Paging | undefined {
  const parameters: Type<unknown>[] = Reflect.getMetadata('design:paramtypes', controller.prototype, handler) ?? []
  return parameters.map(pagingBy).find((paging) => paging !== undefined)
}

/** How a class of queries asks for pages; undefined where it does not. */
export function pagingBy(query: Type<unknown>): Paging | undefined {
  if (!query?.prototype) return undefined
  const size: Paging['size'] | undefined = Reflect.getMetadata(SIZE, query.prototype)
  const start: Paging['start'] | undefined = Reflect.getMetadata(START, query.prototype)
  return size && start && { size, start }
}

function starts(counts: Paging['start']['counts']): PropertyDecorator {
  return part(START, (name): Paging['start'] => ({ name, counts }))
}

function part(key: symbol, of: (name: string) => unknown): PropertyDecorator {
  return (query, name) => Reflect.defineMetadata(key, of(String(name)), query)
}
