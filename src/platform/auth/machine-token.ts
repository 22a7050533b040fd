import { createHash, timingSafeEqual } from 'node:crypto'
import { bearerIn } from './bearer.js'

const MACHINE = Symbol('asked by a machine')
const OPEN_TO = Symbol('open to a machine')

/** Tokens of the configuration that open single operations to a machine, which has no account: what they may read is not anybody's. */
export type MachineToken = 'metricsToken'

/** The operation answers who carries this token, as well as whom its other decorators let in. */
export function AlsoFor(token: MachineToken): MethodDecorator {
  return (_target: object, _key: string | symbol, descriptor: PropertyDescriptor) =>
    Reflect.defineMetadata(OPEN_TO, token, descriptor.value)
}

export function machineTokenOf(handler: object): MachineToken | undefined {
  return Reflect.getMetadata(OPEN_TO, handler)
}

/** Whether `Authorization` carries this token. Takes as long for a near miss as for any other. */
export function isMachineToken(authorization: string | undefined, token: string): boolean {
  const given = bearerIn(authorization)
  return given !== undefined && timingSafeEqual(digest(given), digest(token))
}

/** Such requests are not counted against anybody. */
export function markMachine(request: object): void {
  Object.defineProperty(request, MACHINE, { value: true })
}

export function isMachine(request: object): boolean {
  return MACHINE in request
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
