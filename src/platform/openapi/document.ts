/** A JSON Schema as the documents carry it. */
export interface Schema {
  $ref?: string
  type?: string | string[]
  properties?: Record<string, Schema>
  items?: Schema
  required?: string[]
  enum?: unknown[]
  examples?: unknown[]
  additionalProperties?: boolean | Schema
  anyOf?: Schema[]
  oneOf?: Schema[]
  allOf?: Schema[]
  [keyword: string]: unknown
}

export interface MediaType {
  schema?: Schema
  examples?: Record<string, { summary?: string; value?: unknown; $ref?: string }>
}

export interface Response {
  $ref?: string
  description?: string
  headers?: Record<string, unknown>
  content?: Record<string, MediaType>
}

export interface Parameter {
  $ref?: string
  name?: string
  in?: 'query' | 'path' | 'header'
  description?: string
  required?: boolean
  schema?: Schema
  example?: unknown
  /** Takes the rest of the path, whatever slashes are in it. */
  'x-holds-slashes'?: boolean
}

export interface Operation {
  operationId: string
  summary?: string
  description?: string
  tags: string[]
  parameters?: Parameter[]
  requestBody?: { required?: boolean; content: Record<string, MediaType> }
  responses: Record<string, Response>
  security?: Record<string, string[]>[]
}

export interface Components {
  schemas: Record<string, Schema>
  responses: Record<string, Response>
  headers: Record<string, unknown>
  parameters: Record<string, Parameter>
  securitySchemes: Record<string, unknown>
}

/** An OpenAPI 3.1 document, as far as we write it. */
export interface Document {
  openapi: string
  info: Record<string, unknown>
  servers: Record<string, unknown>[]
  tags: { name: string; description: string }[]
  paths: Record<string, Record<string, Operation>>
  components: Components
  [member: string]: unknown
}

export const methods = ['get', 'put', 'post', 'delete', 'patch'] as const

/** Every operation with where it is. */
export function operationsOf(document: Document): { path: string; method: string; operation: Operation }[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    methods.flatMap((method) => {
      const operation = item[method]
      return operation ? [{ path, method, operation }] : []
    }),
  )
}
