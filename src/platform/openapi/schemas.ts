import type { Schema } from './document.js'

/** Turns what `@nestjs/swagger` writes, which is OpenAPI 3.0's dialect, into JSON Schema 2020-12 as OpenAPI 3.1 has it. */
export function modern(schema: Schema): Schema {
  const { nullable, example, 'x-any-json': anyJson, ...rest } = schema
  const result: Schema = { ...rest }
  if (anyJson) delete result.type
  if (example !== undefined) result.examples = [example]
  if (schema.properties) result.properties = mapped(schema.properties)
  if (schema.items) result.items = modern(schema.items)
  if (typeof schema.additionalProperties === 'object') result.additionalProperties = modern(schema.additionalProperties)
  for (const word of ['anyOf', 'oneOf', 'allOf'] as const) if (schema[word]) result[word] = schema[word].map(modern)
  return nullable ? orNull(unwrapped(result)) : unwrapped(result)
}

/** 3.0 had to wrap a reference to say more about it; 3.1 lets `$ref` have neighbours. */
function unwrapped(schema: Schema): Schema {
  const [only, ...more] = schema.allOf ?? []
  if (!only?.$ref || more.length > 0) return schema
  const { allOf, ...rest } = schema
  return { ...rest, $ref: only.$ref }
}

function orNull(schema: Schema): Schema {
  if (schema.$ref) {
    // The type beside a reference would forbid null.
    const { $ref, type: _, ...rest } = schema
    return { ...rest, anyOf: [{ $ref }, { type: 'null' }] }
  }
  return {
    ...schema,
    type: [schema.type as string, 'null'],
    ...(schema.enum && { enum: [...schema.enum, null] }),
  }
}

function mapped(schemas: Record<string, Schema>): Record<string, Schema> {
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, modern(schema)]))
}

/** An example of a schema, made of its members' own examples; undefined where they have none. */
export function exampleOf(schema: Schema, schemas: Readonly<Record<string, Schema>>): unknown {
  if (schema.examples) return schema.examples[0]
  if (schema.$ref) return exampleOf(schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {}, schemas)
  const [choice] = schema.anyOf ?? schema.oneOf ?? []
  if (choice) return exampleOf(choice, schemas)
  if (schema.type === 'array') {
    const item = schema.items && exampleOf(schema.items, schemas)
    return item === undefined ? undefined : [item]
  }
  if (!schema.properties) return schema.enum?.[0]
  const members = Object.entries(schema.properties)
    .map(([name, member]) => [name, exampleOf(member, schemas)] as const)
    .filter(([, value]) => value !== undefined)
  return Object.fromEntries(members)
}

/** Calls back for a value and everything in it that is an object. */
export function walk(value: unknown, visit: (node: Record<string, unknown>) => void): void {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value)) visit(value as Record<string, unknown>)
  for (const member of Object.values(value)) walk(member, visit)
}
