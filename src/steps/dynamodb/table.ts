import { setTimeout as delay } from 'node:timers/promises'
import {
  BatchWriteCommand,
  type BatchWriteCommandInput,
  DeleteCommand,
  type DynamoDBDocumentClient,
  GetCommand,
  PutCommand,
  QueryCommand,
  ScanCommand,
  UpdateCommand,
} from '@aws-sdk/lib-dynamodb'
import { StepError } from '../../engine/step.js'
import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import { invalidParams } from '../invalid-params.js'
import { itemJson, MAX_ITEMS } from './values.js'

/** DynamoDB takes so many items in one batch. */
const BATCH = 25
const BATCH_ATTEMPTS = 6
const FIRST_PAUSE_MS = 50

type Writes = NonNullable<BatchWriteCommandInput['RequestItems']>[string]

interface Page {
  Items?: Record<string, unknown>[]
  LastEvaluatedKey?: Record<string, unknown>
}

/** The operations of one step on one table. */
export class DynamoTable {
  private readonly name: string
  private readonly options: { abortSignal: AbortSignal }

  constructor(
    private readonly client: DynamoDBDocumentClient,
    private readonly params: JsonObject,
    private readonly signal: AbortSignal,
  ) {
    this.name = String(params.table ?? params.table_name)
    this.options = { abortSignal: signal }
  }

  async put(item: JsonObject): Promise<Json> {
    await this.client.send(
      new PutCommand({ TableName: this.name, Item: item, ...this.expressions('condition') }),
      this.options,
    )
    return item
  }

  async get(key: JsonObject): Promise<Json> {
    const ConsistentRead = this.params.consistent_read === true
    const { Item } = await this.client.send(
      new GetCommand({ TableName: this.name, Key: key, ConsistentRead }),
      this.options,
    )
    if (!Item) throw new StepError(`item not found: ${JSON.stringify(key)}`, { code: 'not_found', retryable: false })
    return itemJson(Item)
  }

  /** By `update`, attributes and their new values, or by an expression of the author's. Answers the whole item as it is now. */
  async update(key: JsonObject): Promise<Json> {
    const { update } = this.params
    const change = isJsonObject(update)
      ? merged(assignments(update), this.expressions('condition'))
      : this.expressions('update', 'condition')
    if (change.UpdateExpression === undefined) {
      throw invalidParams('update or update_expression parameter is required for update operation')
    }
    const command = new UpdateCommand({ TableName: this.name, Key: key, ReturnValues: 'ALL_NEW', ...change })
    return itemJson((await this.client.send(command, this.options)).Attributes ?? {})
  }

  async delete(key: JsonObject): Promise<Json> {
    const command = new DeleteCommand({
      TableName: this.name,
      Key: key,
      ReturnValues: 'ALL_OLD',
      ...this.expressions('condition'),
    })
    const { Attributes } = await this.client.send(command, this.options)
    return { deleted: Attributes !== undefined, key }
  }

  query(): Promise<Json[]> {
    const how = { ...this.expressions('key_condition', 'filter'), ScanIndexForward: this.params.descending !== true }
    return this.gather((page) => this.client.send(new QueryCommand({ ...how, ...page }), this.options))
  }

  scan(): Promise<Json[]> {
    const how = this.expressions('filter')
    return this.gather((page) => this.client.send(new ScanCommand({ ...how, ...page }), this.options))
  }

  /** In batches as large as DynamoDB takes. */
  async batchWrite(): Promise<Json> {
    const requests: Writes = [
      ...objects(this.params.items).map((Item) => ({ PutRequest: { Item } })),
      ...objects(this.params.delete_keys).map((Key) => ({ DeleteRequest: { Key } })),
    ]
    for (let start = 0; start < requests.length; start += BATCH) await this.write(requests.slice(start, start + BATCH))
    return { written: requests.length }
  }

  /** What DynamoDB leaves undone under load is sent again, after a pause that doubles. */
  private async write(requests: Writes): Promise<void> {
    let rest = requests
    for (let attempt = 0; attempt < BATCH_ATTEMPTS; attempt++) {
      if (attempt > 0) await delay(FIRST_PAUSE_MS * 2 ** (attempt - 1), undefined, { signal: this.signal })
      const command = new BatchWriteCommand({ RequestItems: { [this.name]: rest } })
      const { UnprocessedItems } = await this.client.send(command, this.options)
      rest = UnprocessedItems?.[this.name] ?? []
      if (rest.length === 0) return
    }
    throw new StepError(`DynamoDB left ${rest.length} items of the batch unwritten: it is under too much load`, {
      code: 'dynamodb_error',
    })
  }

  private async gather(read: (page: { TableName: string }) => Promise<Page>): Promise<Json[]> {
    const limit = typeof this.params.limit === 'number' ? this.params.limit : MAX_ITEMS
    const where = {
      TableName: this.name,
      ...(this.params.index_name === undefined ? {} : { IndexName: String(this.params.index_name) }),
      ...(this.params.consistent_read === true ? { ConsistentRead: true } : {}),
    }
    const items: Json[] = []
    let start: Page['LastEvaluatedKey']
    do {
      const page = await read({ ...where, ...(start ? { ExclusiveStartKey: start } : {}) })
      items.push(...(page.Items ?? []).map(itemJson))
      start = page.LastEvaluatedKey
    } while (start && items.length < limit)
    return items.slice(0, limit)
  }

  /** Those of the author's expressions that the operation knows, with the names and values that they use. */
  private expressions(...kinds: (keyof typeof EXPRESSIONS)[]): Record<string, Json> {
    const used = kinds.filter((kind) => this.params[`${kind}_expression`] !== undefined)
    if (used.length === 0) return {}
    const { expression_names: names, expression_values: values } = this.params
    return {
      ...Object.fromEntries(used.map((kind) => [EXPRESSIONS[kind], this.params[`${kind}_expression`] as Json])),
      ...(names === undefined ? {} : { ExpressionAttributeNames: names }),
      ...(values === undefined ? {} : { ExpressionAttributeValues: values }),
    }
  }
}

const EXPRESSIONS = {
  condition: 'ConditionExpression',
  filter: 'FilterExpression',
  key_condition: 'KeyConditionExpression',
  update: 'UpdateExpression',
} as const

/** `SET` of every attribute. Names and values stand behind placeholders, so that no name can be read as anything else. */
function assignments(update: JsonObject): Record<string, Json> {
  const entries = Object.entries(update)
  if (entries.length === 0) return {}
  return {
    UpdateExpression: `SET ${entries.map((_, index) => `#set${index} = :set${index}`).join(', ')}`,
    ExpressionAttributeNames: Object.fromEntries(entries.map(([name], index) => [`#set${index}`, name])),
    ExpressionAttributeValues: Object.fromEntries(entries.map(([, value], index) => [`:set${index}`, value])),
  }
}

function merged(ours: Record<string, Json>, theirs: Record<string, Json>): Record<string, Json> {
  const both = (member: string) => ({ ...(ours[member] as JsonObject), ...(theirs[member] as JsonObject) })
  if (ours.UpdateExpression === undefined) return theirs
  return {
    ...ours,
    ...theirs,
    ExpressionAttributeNames: both('ExpressionAttributeNames'),
    ExpressionAttributeValues: both('ExpressionAttributeValues'),
  }
}

function objects(value: Json | undefined): JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : []
}
