import { isJsonObject, type Json, type JsonObject } from '../../platform/json.js'
import { invalidParams } from '../invalid-params.js'
import type { Message } from './chat-messages.js'
import { fillTemplate } from './template.js'

/**
 * What the model is asked. A `question` among the run's own input takes the place of the last thing that the user says in it, so that
 * one flow answers many questions; system messages and examples stay.
 */
export function messagesOf(params: JsonObject, runInput: Json): Message[] {
  const messages = written(params)
  const question = isJsonObject(runInput) ? runInput.question : undefined
  if (typeof question !== 'string' || question === '') return messages
  const last = messages.findLastIndex(({ role }) => role === 'user')
  return last < 0 ? [...messages, user(question)] : messages.with(last, user(question))
}

function written(params: JsonObject): Message[] {
  const { templates, messages, prompt, template } = params
  if (Array.isArray(templates)) {
    return templates.filter(isJsonObject).map((one) => ({
      role: String(one.role ?? 'user'),
      content: fillTemplate(String(one.template ?? ''), object(params.context)),
    }))
  }
  if (Array.isArray(messages)) return messages as Message[]
  if (typeof prompt === 'string') return [user(prompt)]
  if (typeof template === 'string') return [user(fillTemplate(template, object(params.variables)))]
  throw invalidParams('either messages, prompt, template, or templates parameter is required')
}

function user(content: string): Message {
  return { role: 'user', content }
}

function object(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : {}
}
