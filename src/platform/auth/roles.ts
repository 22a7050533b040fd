import type { Role } from './principal.js'

const ROLES_ALLOWED = Symbol('roles allowed')

/** Only callers with one of these roles; others are told 403. Without it any role will do. */
export function Roles(...roles: Role[]): MethodDecorator & ClassDecorator {
  return (target: object, _key?: string | symbol, descriptor?: PropertyDescriptor) =>
    Reflect.defineMetadata(ROLES_ALLOWED, roles, descriptor?.value ?? target)
}

/** The handler's own word, else its controller's. */
export function rolesOf(handler: object, controller: object): readonly Role[] | undefined {
  return Reflect.getMetadata(ROLES_ALLOWED, handler) ?? Reflect.getMetadata(ROLES_ALLOWED, controller)
}
