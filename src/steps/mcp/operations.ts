import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import type { RequestOptions } from '@modelcontextprotocol/sdk/shared/protocol.js'
import { StepError } from '../../engine/step.js'
import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import { invalidParams } from '../invalid-params.js'

/** Pages of a list; a server that never ends one is cut short. */
const MAX_PAGES = 100

/** Does one operation, and answers as the server does. */
export async function perform(client: Client, params: JsonObject, options: RequestOptions): Promise<Json> {
  switch (params.operation) {
    case 'listTools':
      return await all('tools', (page) => client.listTools(page, options))
    case 'listResources':
      return await all('resources', (page) => client.listResources(page, options))
    case 'listPrompts':
      return await all('prompts', (page) => client.listPrompts(page, options))
    case 'executeTool':
      return await execute(client, params, options)
    case 'readResource':
      return json(await client.readResource({ uri: required(params, 'resourceUri') }, options))
    case 'getPrompt': {
      const given = argumentsOf(params, params.promptParameters === undefined ? 'toolParameters' : 'promptParameters')
      const texts = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, text(value)]))
      return json(await client.getPrompt({ name: required(params, 'promptName'), arguments: texts }, options))
    }
    default:
      throw invalidParams(`unknown operation: ${String(params.operation)}`)
  }
}

async function execute(client: Client, params: JsonObject, options: RequestOptions): Promise<Json> {
  const name = required(params, 'toolName')
  const result = await client.callTool({ name, arguments: argumentsOf(params, 'toolParameters') }, undefined, options)
  if (result.isError !== true) return json(result)
  const parts = (Array.isArray(result.content) ? result.content : []) as { text?: string }[]
  const said = parts.map((part) => part.text ?? '').join('\n')
  throw new StepError(`the tool '${name}' failed: ${said.slice(0, 1_000)}`, {
    code: 'tool_failed',
    output: { result: json(result) },
  })
}

interface Listed {
  nextCursor?: string
  [member: string]: unknown
}

async function all(member: string, read: (page?: { cursor: string }) => Promise<Listed>): Promise<Json> {
  const found: unknown[] = []
  let cursor: string | undefined
  for (let page = 0; page < MAX_PAGES; page++) {
    const listed = await read(cursor === undefined ? undefined : { cursor })
    found.push(...(listed[member] as unknown[]))
    cursor = listed.nextCursor
    if (cursor === undefined) break
  }
  return json({ [member]: found })
}

function required(params: JsonObject, name: string): string {
  const value = params[name]
  if (typeof value === 'string' && value !== '') return value
  throw invalidParams(`${name} parameter is required for ${String(params.operation)} operation`)
}

function argumentsOf(params: JsonObject, name: string): JsonObject {
  const value = params[name] ?? {}
  const parsed = typeof value === 'string' ? parse(value) : value
  if (isJsonObject(parsed)) return parsed
  throw invalidParams(`${name} is neither an object nor the JSON of one`)
}

function parse(given: string): Json {
  try {
    return given.trim() === '' ? {} : (JSON.parse(given) as Json)
  } catch {
    return null
  }
}

function text(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function json(value: unknown): Json {
  return JSON.parse(JSON.stringify(value)) as Json
}
