import type { StepType } from '../engine/step.js'
import { agent } from './agent.js'
import { dynamodb } from './dynamodb.js'
import { emailReceive } from './email-receive.js'
import { emailSend } from './email-send.js'
import { llm } from './llm.js'
import { type McpOptions, mcp } from './mcp.js'
import { postgres } from './postgres.js'

/** What the steps that speak to outside services need. */
export type ExternalStepPorts = McpOptions

/** The step types that speak to a service of the flow's author by that service's own protocol. */
export function externalSteps(ports: ExternalStepPorts): StepType[] {
  return [emailSend(ports), emailReceive(ports), llm(ports), agent(ports), postgres(ports), dynamodb(ports), mcp(ports)]
}
