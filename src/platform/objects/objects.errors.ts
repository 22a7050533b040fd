/** The store has no such object in this scope. */
export class ObjectMissing extends Error {
  override readonly name = 'ObjectMissing'

  constructor(readonly key: string) {
    super(`there is no object ${key}`)
  }
}

/** What the store has under this key is not what was put there. */
export class ObjectDamaged extends Error {
  override readonly name = 'ObjectDamaged'

  constructor(readonly key: string) {
    super(`the object ${key} is not what was stored`)
  }
}
