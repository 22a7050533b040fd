import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { expect } from 'vitest'
import type { StepType } from '../../engine/step.js'
import type { Json, JsonObject } from '../../platform/json.js'
import { FakeStepContext, runStep } from '../step-context.fake.js'

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, strictRequired: false })
const compiled = new Map<string, ValidateFunction>()

/** Holds an output against what its type publishes of it. */
export function expectAsDescribed(type: StepType, output: Json): void {
  if (!type.output) throw new Error(`${type.name} does not describe its output`)
  const validate = compiled.get(type.name) ?? ajv.compile(type.output)
  compiled.set(type.name, validate)
  validate(JSON.parse(JSON.stringify(output)))
  expect(validate.errors ?? [], `the output of ${type.name} is as described`).toEqual([])
}

/** The output of one run of a step, its parameters checked first and what comes out held against its description. */
export async function outputAsDescribed(
  type: StepType,
  params: JsonObject,
  step = new FakeStepContext(),
): Promise<Json> {
  const { output } = await runStep(type, params, step)
  expectAsDescribed(type, output)
  return output
}
