import { applyDecorators, type Type as Class } from '@nestjs/common'
import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger'
import { Transform } from 'class-transformer'
import {
  Allow,
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsBoolean,
  IsEmail,
  IsIn,
  IsInt,
  IsNumber,
  IsObject,
  IsString,
  IsUrl,
  Matches,
  Max,
  MaxLength,
  Min,
  MinLength,
  ValidateIf,
  ValidateNested,
} from 'class-validator'
import {
  HoldsNoLists,
  HoldsNoNul,
  HoldsTextOnly,
  IsDayOrRfc3339,
  IsGiven,
  IsRfc3339,
  IsTimeOfDay,
} from './constraints.js'

/**
 * One decorator per field: what class-validator checks on the way in and what the document says, together. A field is required
 * unless `optional`; null is refused unless `nullable`.
 */
export interface FieldOptions {
  description: string
  /** What the reference shows. Left out, a class of ours, or a list of it, shows its own fields' examples. */
  example?: unknown
  optional?: boolean
  nullable?: boolean
  deprecated?: boolean
  /** Documented; the DTO or the service applies it. */
  default?: unknown
  /** Taken, never given back: passwords and secrets. */
  writeOnly?: boolean
}

export interface StringOptions extends FieldOptions {
  /** Default 0, or 1 where the field is required. */
  minLength?: number
  /** In characters. Default 1000. */
  maxLength?: number
  pattern?: RegExp
  /** What the pattern means, for people: `may hold letters, digits and dashes only`. */
  patternMeaning?: string
  /** JSON Schema's word for documentation, such as `password`. */
  format?: string
}

/** Text. */
export function StringField(options: StringOptions): PropertyDecorator {
  const { maxLength = 1000, pattern } = options
  const minLength = options.minLength ?? (options.optional || options.nullable ? 0 : 1)
  const meaning = options.patternMeaning ?? `must match ${pattern?.source}`
  return field(options, { type: 'string', minLength, maxLength, pattern: pattern?.source, format: options.format }, [
    IsString({ message: 'must be a string', context: { code: 'type' } }),
    HoldsNoNul(),
    ...(minLength === 1 ? [MinLength(1, { message: 'must not be empty', context: { code: 'empty' } })] : []),
    ...(minLength > 1
      ? [
          MinLength(minLength, {
            message: `must have at least ${minLength} characters`,
            context: { code: 'too_short' },
          }),
        ]
      : []),
    MaxLength(maxLength, { message: `must have at most ${maxLength} characters`, context: { code: 'too_long' } }),
    ...(pattern ? [Matches(pattern, { message: meaning, context: { code: 'pattern' } })] : []),
  ])
}

/** An opaque id, as this backend gives them out. */
export function IdField(options: Omit<StringOptions, 'maxLength'>): PropertyDecorator {
  return StringField({ ...options, maxLength: 64 })
}

export function EmailField(options: FieldOptions): PropertyDecorator {
  return field(options, { type: 'string', format: 'email', maxLength: 254 }, [
    IsString({ message: 'must be a string', context: { code: 'type' } }),
    HoldsNoNul(),
    IsEmail({}, { message: 'must be an e-mail address', context: { code: 'email' } }),
    MaxLength(254, { message: 'must have at most 254 characters', context: { code: 'too_long' } }),
  ])
}

/** An absolute http or https URL. */
export function UrlField(options: FieldOptions): PropertyDecorator {
  return field(options, { type: 'string', format: 'uri', maxLength: 2048 }, [
    IsString({ message: 'must be a string', context: { code: 'type' } }),
    HoldsNoNul(),
    IsUrl(
      { protocols: ['http', 'https'], require_protocol: true, require_tld: false },
      { message: 'must be an http or https URL', context: { code: 'url' } },
    ),
    MaxLength(2048, { message: 'must have at most 2048 characters', context: { code: 'too_long' } }),
  ])
}

/** A moment, as RFC 3339 spells it. Responses may hold a Date, which JSON spells so. */
export function DateField(options: FieldOptions): PropertyDecorator {
  return field(options, { type: 'string', format: 'date-time', maxLength: 64 }, [IsRfc3339()])
}

/** A moment as RFC 3339 spells it, or a whole day, such as `2026-01-31`. */
export function DayOrDateField(options: FieldOptions): PropertyDecorator {
  // A pattern, since generators make a class of two formats, or none where they name one.
  const pattern = '^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].*)?$'
  return field(options, { type: 'string', pattern, maxLength: 64 }, [IsDayOrRfc3339()])
}

/** `HH:MM`, 24 hours. */
export function TimeOfDayField(options: FieldOptions): PropertyDecorator {
  return field(options, { type: 'string', pattern: '^([01][0-9]|2[0-3]):[0-5][0-9]$', maxLength: 5 }, [IsTimeOfDay()])
}

export interface NumberOptions extends FieldOptions {
  min?: number
  max?: number
}

/** A whole number. Without limits, one that JavaScript holds exactly. */
export function IntField(options: NumberOptions): PropertyDecorator {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = options
  const format = min >= -(2 ** 31) && max < 2 ** 31 ? 'int32' : 'int64'
  return field(options, { type: 'integer', format, minimum: min, maximum: max }, [
    IsInt({ message: 'must be a whole number', context: { code: 'type' } }),
    ...range(min, max),
  ])
}

export function NumberField(options: NumberOptions): PropertyDecorator {
  return field(options, { type: 'number', format: 'double', minimum: options.min, maximum: options.max }, [
    IsNumber({ allowNaN: false, allowInfinity: false }, { message: 'must be a number', context: { code: 'type' } }),
    ...range(options.min, options.max),
  ])
}

export function BooleanField(options: FieldOptions): PropertyDecorator {
  return field(options, { type: 'boolean' }, [
    IsBoolean({ message: 'must be true or false', context: { code: 'type' } }),
  ])
}

/** One of a fixed list of words. Give `name` where several fields share the list: it becomes a schema of its own. */
export function EnumField(values: readonly string[], options: FieldOptions & { name?: string }): PropertyDecorator {
  return field(options, { type: 'string', enum: [...values], ...(options.name && { enumName: options.name }) }, [
    IsIn([...values], { message: `must be one of ${values.join(', ')}`, context: { code: 'enum' } }),
  ])
}

/** An object of a class of ours; without a class, an object with members of the caller's choosing. */
export function ObjectField(options: FieldOptions & { type?: () => Class<unknown> }): PropertyDecorator {
  const { type } = options
  return field(options, type ? { type: () => type() } : ({ type: 'object' } as never), [
    IsObject({ message: 'must be an object', context: { code: 'type' } }),
    ...(type ? [ValidateNested(), ofClass(type)] : []),
  ])
}

/** Members of the caller's choosing, all of them text: headers, labels, environment variables. */
export function TextMapField(options: FieldOptions & { maxLength?: number }): PropertyDecorator {
  const { maxLength = 10_000 } = options
  return field(
    options,
    { type: 'object', additionalProperties: { type: 'string', maxLength }, maxProperties: 1000 } as never,
    [IsObject({ message: 'must be an object', context: { code: 'type' } }), HoldsTextOnly()],
  )
}

/** Any JSON value. */
export function JsonField(options: FieldOptions): PropertyDecorator {
  return field({ ...options, nullable: false }, { 'x-any-json': true } as never, [
    options.optional ? Allow() : IsGiven(),
  ])
}

type ItemOptions =
  | { of: 'string'; itemMaxLength?: number; itemEnum?: readonly string[] }
  | { of: 'object' }
  | { of: () => Class<unknown> }

/** A list of texts, of free objects, or of objects of a class of ours. */
export function ArrayField(
  options: FieldOptions & ItemOptions & { minItems?: number; maxItems?: number },
): PropertyDecorator {
  const { of, minItems = 0, maxItems = 1000 } = options
  const checks = [
    IsArray({ message: 'must be a list', context: { code: 'type' } }),
    ...(minItems > 0
      ? [ArrayMinSize(minItems, { message: `must have at least ${minItems} items`, context: { code: 'too_few' } })]
      : []),
    ArrayMaxSize(maxItems, { message: `must have at most ${maxItems} items`, context: { code: 'too_many' } }),
  ]
  if (of === 'string') {
    const { itemMaxLength = 255, itemEnum } = options
    const items = itemEnum ? { type: 'string', enum: [...itemEnum] } : { type: 'string', maxLength: itemMaxLength }
    return field(options, { type: 'array', items, minItems, maxItems } as never, [
      ...checks,
      IsString({ each: true, message: 'must hold strings only', context: { code: 'type' } }),
      HoldsNoNul({ each: true }),
      MaxLength(itemMaxLength, {
        each: true,
        message: `must hold texts of at most ${itemMaxLength} characters`,
        context: { code: 'too_long' },
      }),
      ...(itemEnum
        ? [
            IsIn([...itemEnum], {
              each: true,
              message: `must hold only ${itemEnum.join(', ')}`,
              context: { code: 'enum' },
            }),
          ]
        : []),
    ])
  }
  if (of === 'object') {
    return field(options, { type: 'array', items: { type: 'object' }, minItems, maxItems } as never, [
      ...checks,
      IsObject({ each: true, message: 'must hold objects only', context: { code: 'type' } }),
    ])
  }
  return field(options, { type: () => [of()], minItems, maxItems } as never, [
    ...checks,
    HoldsNoLists(),
    ValidateNested({ each: true, message: 'must hold objects only', context: { code: 'type' } }),
    ofClass(of),
  ])
}

/** A whole number in the query. Only digits count as one: `1e3`, `0x10` and an empty text do not. */
export function QueryIntField(options: NumberOptions): PropertyDecorator {
  return applyDecorators(
    Transform(({ value }) => wholeNumber(value)),
    IntField(options),
  )
}

/** `true` or `false` in the query. */
export function QueryBooleanField(options: FieldOptions): PropertyDecorator {
  return applyDecorators(
    Transform(({ value }) => (value === 'true' ? true : value === 'false' ? false : value)),
    BooleanField(options),
  )
}

const FIELD = Symbol('field')
const CLASS = Symbol('class of a field')

function ofClass(type: () => Class<unknown>): PropertyDecorator {
  return (target, key) => Reflect.defineMetadata(CLASS, type, target, key)
}

/** Whether a class has a field of this name, or inherits one. */
export function hasField(owner: Class<unknown>, name: string): boolean {
  return Reflect.hasMetadata(FIELD, owner.prototype, name)
}

/** The class of a field's object, or of its list's items; undefined where the field holds something else. */
export function classOfField(owner: Class<unknown>, field: string): Class<unknown> | undefined {
  return (Reflect.getMetadata(CLASS, owner.prototype, field) as (() => Class<unknown>) | undefined)?.()
}

/** The number that a text of the query spells; what spells none stays as it is, for the checks to refuse. */
export function wholeNumber(value: unknown): unknown {
  return typeof value === 'string' && /^-?\d{1,16}$/.test(value) ? Number(value) : value
}

function range(min: number | undefined, max: number | undefined): PropertyDecorator[] {
  return [
    ...(min === undefined ? [] : [Min(min, { message: `must be at least ${min}`, context: { code: 'too_small' } })]),
    ...(max === undefined ? [] : [Max(max, { message: `must be at most ${max}`, context: { code: 'too_large' } })]),
  ]
}

function field(options: FieldOptions, schema: ApiPropertyOptions, checks: PropertyDecorator[]): PropertyDecorator {
  const { description, example, optional, nullable, deprecated, writeOnly } = options
  const documented = {
    ...Object.fromEntries(Object.entries(schema).filter(([, value]) => value !== undefined)),
    description,
    example,
    required: !optional,
    ...(nullable && { nullable }),
    ...(deprecated && { deprecated }),
    ...(writeOnly && { writeOnly }),
    ...(options.default !== undefined && { default: options.default }),
  } as ApiPropertyOptions
  return applyDecorators(
    Reflect.metadata(FIELD, true),
    ApiProperty(documented),
    ...(optional || nullable
      ? [ValidateIf((_dto, value) => !(optional && value === undefined) && !(nullable && value === null))]
      : []),
    ...checks,
  )
}
