import type { StepContext, StepType } from '../engine/step.js'
import type { JsonObject, JsonSchema } from '../platform/json.js'
import { converse, timeLimit } from './conversation.js'
import { chat, MODEL_PARAMS, modelOf, toolDefinition } from './llm/chat.js'
import { explainProvider } from './llm/failure.js'
import { messagesOf } from './llm/messages.js'
import { parseStructured } from './llm/structured.js'
import type { Outbound } from './ports.js'

/** Asks a large language model once. */
export function llm({ outbound }: { outbound: Outbound }): StepType {
  return {
    name: 'llm',
    title: 'Language model',
    category: 'ai',
    summary: 'Asks a large language model and offers its answer to the next node.',
    stepClass: 'effect',
    sharedAs: 'llm_result',
    params: PARAMS,
    async run(params, step) {
      return { output: await ask(outbound, params, step) }
    },
  }
}

async function ask(outbound: Outbound, params: JsonObject, step: StepContext): Promise<JsonObject> {
  const timeoutMs = timeLimit(params.timeout, '120s')
  const request = {
    ...modelOf(params, timeoutMs),
    messages: messagesOf(params, step.runInput),
    tools: [...list(params.tools), ...list(params.functions)].map(toolDefinition),
  }
  const service = { name: 'the LLM provider', timeoutMs, secrets: [request.apiKey], explain: explainProvider }
  const answer = await converse(service, step, (signal) => chat(outbound, request, signal))
  step.log('info', 'LLM response received', {
    model: answer.model,
    finish_reason: answer.finishReason,
    usage: answer.usage,
  })
  return {
    id: answer.id,
    model: answer.model,
    choices: answer.choices,
    usage: answer.usage,
    content: answer.content,
    finish_reason: answer.finishReason,
    raw_response: answer.raw,
    has_tool_calls: answer.toolCalls.length > 0,
    tool_calls: answer.toolCalls,
    ...(params.parse_structured === true ? { structured_output: parseStructured(answer.content) } : {}),
  }
}

function list(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value : []
}

const PARAMS: JsonSchema = {
  type: 'object',
  required: ['provider', 'api_key', 'model'],
  anyOf: [
    { required: ['messages'] },
    { required: ['prompt'] },
    { required: ['template'] },
    { required: ['templates'] },
  ],
  properties: {
    ...MODEL_PARAMS,
    messages: {
      type: 'array',
      minItems: 1,
      description: 'The conversation so far.',
      items: {
        type: 'object',
        required: ['role'],
        properties: {
          role: { enum: ['system', 'developer', 'user', 'assistant', 'tool'] },
          content: { type: ['string', 'array', 'null'] },
        },
      },
      examples: [[{ role: 'user', content: 'What is the capital of France?' }]],
    },
    prompt: {
      type: 'string',
      description: 'What to ask, instead of messages.',
      examples: ['What is the capital of France?'],
    },
    template: {
      type: 'string',
      description: 'What to ask, with fields to fill from `variables`.',
      examples: ['What is the capital of {{.country}}?'],
    },
    variables: { type: 'object', description: 'Values of the template’s fields.', examples: [{ country: 'Japan' }] },
    templates: {
      type: 'array',
      minItems: 1,
      description: 'Messages with fields to fill from `context`.',
      items: {
        type: 'object',
        required: ['role', 'template'],
        properties: { role: { enum: ['system', 'developer', 'user', 'assistant'] }, template: { type: 'string' } },
        additionalProperties: false,
      },
    },
    context: { type: 'object', description: 'Values of the fields of `templates`.' },
    functions: {
      type: 'array',
      description: 'Functions that the model may call, in the older form; sent as tools.',
      items: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
    },
    tools: {
      type: 'array',
      description: 'Tools that the model may call. The calls are handed to the next node.',
      items: { type: 'object' },
      examples: [
        [{ type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: {} } } }],
      ],
    },
    response_format: { type: 'object', description: 'The form of the answer.', examples: [{ type: 'json_object' }] },
    parse_structured: {
      type: 'boolean',
      default: false,
      description: 'Read the answer as YAML or JSON and offer it as `structured_output`.',
    },
  },
  additionalProperties: false,
}
