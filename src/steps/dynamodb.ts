import type { StepContext, StepType } from '../engine/step.js'
import { isJsonObject, type Json, type JsonObject, type JsonSchema } from '../platform/json.js'
import { converse, type Explanation, timeLimit, timeoutParam } from './conversation.js'
import { AwsHttpHandler } from './dynamodb/http-handler.js'
import type { DynamoTable as Table } from './dynamodb/table.js'
import { DynamoNumber, MAX_ITEMS } from './dynamodb/values.js'
import { invalidParams } from './invalid-params.js'
import type { Outbound } from './ports.js'

/** Reads and writes items of DynamoDB, or of a server with its API. */
export function dynamodb({ outbound }: { outbound: Outbound }): StepType {
  return {
    name: 'dynamodb',
    title: 'DynamoDB',
    category: 'database',
    summary: 'Reads and writes items of DynamoDB tables.',
    stepClass: 'effect',
    sharedAs: 'dynamodb_result',
    params: PARAMS,
    async run(params, step) {
      return { output: await operate(outbound, params, step) }
    },
  }
}

async function operate(outbound: Outbound, params: JsonObject, step: StepContext): Promise<Json> {
  const region = String(params.region ?? 'us-east-1')
  const endpoint = String(
    params.endpoint ?? `https://dynamodb.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`,
  )
  const timeoutMs = timeLimit(params.timeout, '30s')
  const secrets = [params.secret_key, params.session_token]
  const service = { name: `DynamoDB at ${new URL(endpoint).host}`, timeoutMs, secrets, explain }
  // Only the flow's own credentials: the account of the machine that runs it is not the author's.
  if (typeof params.access_key !== 'string' || typeof params.secret_key !== 'string') {
    throw invalidParams('access_key and secret_key parameters are required')
  }
  const credentials = {
    accessKeyId: params.access_key,
    secretAccessKey: params.secret_key,
    ...(params.session_token === undefined ? {} : { sessionToken: String(params.session_token) }),
  }
  const work = operation(params)
  return await converse(service, step, async (signal) => {
    // Loaded by the first that asks: the library takes tens of megabytes.
    const [{ DynamoDBClient }, { DynamoDBDocumentClient }, { DynamoTable }] = await Promise.all([
      import('@aws-sdk/client-dynamodb'),
      import('@aws-sdk/lib-dynamodb'),
      import('./dynamodb/table.js'),
    ])
    const client = new DynamoDBClient({
      region,
      endpoint,
      credentials,
      requestHandler: new AwsHttpHandler(outbound, timeoutMs),
      maxAttempts: 1,
      retryMode: 'standard',
      useDualstackEndpoint: false,
      useFipsEndpoint: false,
    })
    try {
      const options = {
        marshallOptions: { removeUndefinedValues: true },
        unmarshallOptions: { wrapNumbers: (digits: string) => new DynamoNumber(digits) },
      }
      return await work(new DynamoTable(DynamoDBDocumentClient.from(client, options), params, signal))
    } finally {
      client.destroy()
    }
  })
}

type Work = (table: Table) => Promise<Json>

function operation(params: JsonObject): Work {
  switch (params.operation) {
    case 'put':
      return (table) => table.put(required(params, 'item'))
    case 'get':
      return (table) => table.get(keyOf(params))
    case 'update':
      return (table) => table.update(keyOf(params))
    case 'delete':
      return (table) => table.delete(keyOf(params))
    case 'query':
      return (table) => table.query()
    case 'scan':
      return (table) => table.scan()
    case 'batch_write':
      if (params.items === undefined && params.delete_keys === undefined) {
        throw invalidParams('items parameter is required for batch_write operation')
      }
      return (table) => table.batchWrite()
    default:
      throw invalidParams(`unknown operation: ${String(params.operation)}`)
  }
}

function keyOf(params: JsonObject): JsonObject {
  if (typeof params.key === 'string') return { key: params.key }
  return required(params, 'key')
}

function required(params: JsonObject, name: 'item' | 'key'): JsonObject {
  const value = params[name]
  if (isJsonObject(value)) return value
  throw invalidParams(`${name} parameter is required for ${String(params.operation)} operation`)
}

const LOGIN = new Set([
  'UnrecognizedClientException',
  'InvalidSignatureException',
  'SignatureDoesNotMatch',
  'IncompleteSignatureException',
  'MissingAuthenticationTokenException',
  'InvalidClientTokenId',
  'ExpiredTokenException',
  'AccessDeniedException',
])
const PASSING =
  /Throttling|ProvisionedThroughputExceeded|RequestLimitExceeded|LimitExceeded|InternalServer|ServiceUnavailable|TransactionInProgress/

/** The service's errors carry its own name for them. Nothing is repeated of a refused login, since AWS quotes keys in it. */
function explain(error: Error & { $metadata?: { httpStatusCode?: number } }): Explanation | undefined {
  if (error.$metadata?.httpStatusCode === undefined) return undefined
  if (LOGIN.has(error.name)) {
    return { message: 'DynamoDB refused the access key, or what it may do', code: 'login_refused', retryable: false }
  }
  const retryable = PASSING.test(error.name) || error.$metadata.httpStatusCode >= 500
  const code = error.name === 'ConditionalCheckFailedException' ? 'condition_failed' : 'dynamodb_error'
  return { message: `DynamoDB said: ${error.message} (${error.name})`, code, retryable }
}

const PARAMS: JsonSchema = {
  type: 'object',
  required: ['operation'],
  anyOf: [{ required: ['table'] }, { required: ['table_name'] }],
  properties: {
    operation: { enum: ['put', 'get', 'update', 'delete', 'query', 'scan', 'batch_write'], description: 'What to do.' },
    table: { type: 'string', minLength: 1, description: 'Table.', examples: ['users'] },
    table_name: { type: 'string', minLength: 1, description: 'Another name of `table`.' },
    region: { type: 'string', pattern: '^[a-z0-9-]{1,50}$', default: 'us-east-1', description: 'Region.' },
    endpoint: {
      type: 'string',
      format: 'http-url',
      description: 'Address of the service, instead of the region’s own.',
    },
    access_key: {
      type: 'string',
      minLength: 1,
      description: 'Access key id.',
      examples: ['${secrets.AWS_ACCESS_KEY_ID}'],
    },
    secret_key: {
      type: 'string',
      minLength: 1,
      writeOnly: true,
      description: 'Secret access key.',
      examples: ['${secrets.AWS_SECRET_ACCESS_KEY}'],
    },
    session_token: { type: 'string', writeOnly: true, description: 'Session token of temporary credentials.' },
    item: { type: 'object', description: 'Item to put.', examples: [{ id: 'user-123', name: 'John Doe' }] },
    key: {
      type: ['object', 'string'],
      description: 'Key of get, update and delete, by attribute; a text stands for the attribute `key`.',
      examples: [{ id: 'user-123' }],
    },
    update: { type: 'object', description: 'Attributes to set by `update`.', examples: [{ name: 'Jane Doe' }] },
    update_expression: {
      type: 'string',
      description: 'An expression for `update`, instead.',
      examples: ['SET #n = :name'],
    },
    key_condition_expression: { type: 'string', description: 'Which keys to query.', examples: ['id = :id'] },
    filter_expression: { type: 'string', description: 'Which of the items found to answer.' },
    condition_expression: {
      type: 'string',
      description: 'What must hold for a write.',
      examples: ['attribute_not_exists(id)'],
    },
    expression_names: {
      type: 'object',
      additionalProperties: { type: 'string' },
      description: 'Attribute names behind `#name`.',
    },
    expression_values: { type: 'object', description: 'Values behind `:value`.', examples: [{ ':id': 'user-123' }] },
    index_name: { type: 'string', description: 'Index to query or scan.' },
    descending: { type: 'boolean', default: false, description: 'Query from the greatest sort key down.' },
    consistent_read: { type: 'boolean', default: false, description: 'Read what was written last.' },
    limit: { type: 'integer', minimum: 1, maximum: MAX_ITEMS, description: 'At most so many items.' },
    items: { type: 'array', items: { type: 'object' }, description: 'Items to put by batch_write.' },
    delete_keys: { type: 'array', items: { type: 'object' }, description: 'Keys to delete by batch_write.' },
    timeout: timeoutParam('30s'),
  },
  additionalProperties: false,
}
