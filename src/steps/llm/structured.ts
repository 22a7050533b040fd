import { parse } from 'yaml'
import { StepError } from '../../engine/step.js'
import type { Json } from '../../platform/json.js'

const FENCED = /```(?:ya?ml|json)?[^\S\n]*\n(.*?)\n?[^\S\n]*```/s

/** Reads a model's answer as YAML, which JSON is a part of; fenced in Markdown or not. Prose is an error, not a text. */
export function parseStructured(content: string): Json {
  try {
    const value: unknown = parse(FENCED.exec(content)?.[1] ?? content, { maxAliasCount: 100, logLevel: 'silent' })
    if (typeof value === 'object' && value !== null) return JSON.parse(JSON.stringify(value)) as Json
  } catch {
    // As with prose: the model did not do as it was told.
  }
  throw new StepError('the model’s answer is neither YAML nor JSON, as parse_structured wants it', {
    code: 'structured_output',
    output: { content },
  })
}
