import type { StepType } from '../../engine/step.js'
import { MAX_TEXT } from './limits.js'
import { parsed, Templates } from './templates.js'

/** Fills a template with data. */
export function template(): StepType {
  return {
    name: 'template',
    title: 'Template',
    category: 'data',
    summary: 'Fills a template with data.',
    stepClass: 'pure',
    codeParams: ['template'],
    params: PARAMS,
    output: OUTPUT,
    async run({ template, data = {} }, step) {
      const templates = await Templates.of(step)
      return { output: { result: templates.text(parsed(String(template)), data) } }
    },
  }
}

const PARAMS = {
  type: 'object',
  additionalProperties: false,
  required: ['template'],
  properties: {
    template: {
      type: 'string',
      format: 'go-template',
      maxLength: MAX_TEXT,
      description:
        "The text, in the syntax of Go's templates: {{ .name }} is a member of the data, {{ range .items }} goes through a list. Earlier layers are there as well, as $prev.",
      examples: ['Dear {{ .name }},{{ range .items }}\n- {{ . }}{{ end }}'],
    },
    data: {
      description: 'What the template is filled with: any JSON, with expressions.',
      default: {},
      examples: [{ name: '{{ $prev.args.name }}', items: ['bread', 'milk'] }],
    },
  },
}

const OUTPUT = {
  type: 'object',
  additionalProperties: false,
  required: ['result'],
  properties: { result: { type: 'string', description: 'The text.' } },
}
