import { type StepContext, StepError, type StepType } from '../engine/step.js'
import type { Json, JsonObject, JsonSchema } from '../platform/json.js'
import { converse, timeLimit, timeoutParam } from './conversation.js'
import { chat, MODEL_PARAMS, modelOf } from './llm/chat.js'
import type { Message, ToolCall } from './llm/chat-messages.js'
import { explainProvider } from './llm/failure.js'
import { plainText } from './llm/template.js'
import { type AgentTool, agentTools } from './llm/tools.js'
import type { Outbound } from './ports.js'

/** Lets a model work on a task with tools, turn by turn, until it answers without calling one. */
export function agent({ outbound }: { outbound: Outbound }): StepType {
  return {
    name: 'agent',
    title: 'Agent',
    category: 'ai',
    summary: 'Lets a large language model work on a task with tools until it has an answer.',
    stepClass: 'effect',
    sharedAs: 'agent_result',
    params: PARAMS,
    codeParams: ['tool_handlers'],
    async run(params, step) {
      const timeoutMs = timeLimit(params.timeout, '10m')
      const service = { name: 'the LLM provider', timeoutMs, secrets: [params.api_key], explain: explainProvider }
      return { output: await converse(service, step, (signal) => work(outbound, params, step, timeoutMs, signal)) }
    },
  }
}

async function work(
  outbound: Outbound,
  params: JsonObject,
  step: StepContext,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<JsonObject> {
  const maxSteps = Number(params.max_steps ?? 10)
  const model = modelOf(params, timeoutMs)
  const tools = agentTools(outbound, params, step)
  const definitions = [...tools.values()].map(({ definition }) => definition)
  const conversation: Message[] = opening(params)
  const results: JsonObject[] = []
  const thoughts: string[] = []

  for (let round = 1; round <= maxSteps; round++) {
    const answer = await chat(outbound, { ...model, messages: conversation, tools: definitions }, signal)
    conversation.push(answer.message)
    if (answer.thinking) thoughts.push(answer.thinking)
    const told = { steps: round, thinking: thoughts.join('\n'), intermediate_results: results, conversation }
    if (answer.toolCalls.length === 0) return { response: answer.content, ...told }
    if (answer.content) thoughts.push(answer.content)
    for (const call of answer.toolCalls) {
      const used = await use(tools, call, signal)
      step.log(used.error ? 'warn' : 'info', `Tool ${call.function.name} ${used.error ? 'failed' : 'answered'}`, {
        step: round,
      })
      results.push({ step: round, tool: call.function.name, ...used })
      conversation.push({ role: 'tool', tool_call_id: call.id, content: plainText(used.result) })
    }
  }
  throw new StepError(`exceeded maximum number of steps (${maxSteps})`, {
    code: 'max_steps',
    output: { steps: maxSteps, thinking: thoughts.join('\n'), intermediate_results: results, conversation },
  })
}

function opening(params: JsonObject): Message[] {
  const system = params.system_prompt === undefined ? [] : [{ role: 'system', content: params.system_prompt }]
  return [...system, { role: 'user', content: String(params.prompt ?? params.user_prompt) }]
}

/** What fails is told to the model, which may find another way; only the step's own end is an error. */
async function use(tools: ReadonlyMap<string, AgentTool>, call: ToolCall, signal: AbortSignal) {
  const { name, arguments: written } = call.function
  let args: Json = {}
  try {
    args = written.trim() === '' ? {} : (JSON.parse(written) as Json)
    const tool = tools.get(name)
    if (!tool) throw new Error(`tool not found: ${name}`)
    return { arguments: args, ...(await tool.call(args, signal)) }
  } catch (error) {
    signal.throwIfAborted()
    const why = error instanceof SyntaxError ? 'the arguments are not valid JSON' : (error as Error).message
    return { arguments: args, result: { error: why }, error: true }
  }
}

const PARAMS: JsonSchema = {
  type: 'object',
  required: ['provider', 'api_key', 'model'],
  anyOf: [{ required: ['prompt'] }, { required: ['user_prompt'] }],
  properties: {
    ...MODEL_PARAMS,
    prompt: { type: 'string', description: 'The task.', examples: ['Which of our orders are late?'] },
    system_prompt: {
      type: 'string',
      description: 'Who the agent is and how it works.',
      examples: ['You are a helpful assistant.'],
    },
    user_prompt: {
      type: 'string',
      description: 'Another name of `prompt`.',
      examples: ['Please analyze this data: ${input.data}'],
    },
    tools: {
      type: 'array',
      description:
        'Tools beside the built-in get_current_time. One with a `url` is an HTTP request: `{{.name}}` in it is filled with an argument, the others go into the query or, by POST, PUT and PATCH, into a JSON body.',
      items: {
        type: 'object',
        properties: {
          type: { const: 'function' },
          function: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
          name: { type: 'string' },
          description: { type: 'string' },
          parameters: { type: 'object' },
          url: { type: 'string', minLength: 1 },
          method: { type: 'string', format: 'http-method', default: 'GET' },
          headers: { type: 'object' },
        },
        anyOf: [{ required: ['function'] }, { required: ['name'] }],
        additionalProperties: false,
      },
      examples: [
        [
          {
            name: 'get_order',
            description: 'Looks up an order',
            parameters: { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] },
            url: 'https://shop.example.com/orders/{{.id}}',
          },
        ],
      ],
    },
    tool_handlers: {
      type: 'object',
      description:
        'JavaScript by tool name, for tools that are no requests. It sees the arguments as `args` and returns the result.',
      additionalProperties: { type: 'string' },
      examples: [{ add: 'return args.a + args.b' }],
    },
    max_steps: {
      type: 'integer',
      minimum: 1,
      maximum: 100,
      default: 10,
      description: 'At most so many answers of the model.',
    },
    timeout: timeoutParam('10m'),
  },
  additionalProperties: false,
}
