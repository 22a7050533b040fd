import type { Readable } from 'node:stream'

/** Whose objects, and of which kind: an area has one owner, who knows what still refers to its objects and sweeps the rest. */
export interface ObjectScope {
  /** Such as `run-values`: lower-case letters, digits and hyphens. */
  area: string
  tenantId: string
}

/** An object as it was stored. */
export interface StoredObject {
  /** `sha256:<hex>:<bytes>`: what a row keeps as its reference. */
  key: string
  sha256: string
  size: number
}

export interface ListedObject {
  scope: ObjectScope
  key: string
  /** When it was last put. */
  putAt: Date
}

/** Bytes of an object, both ends included: `0 <= first <= last < size`. */
export interface ObjectPart {
  first: number
  last: number
}

export type ObjectContent = Uint8Array | AsyncIterable<Uint8Array>

/**
 * Where large contents are kept: values of runs, files, exports. An object's key is its content's hash, so the same content of one
 * tenant is kept once, a repeated put changes nothing, and what is read is what was put. A key says nothing outside its scope: nobody
 * can ask for another tenant's content by its hash.
 */
export abstract class ObjectStore {
  /** Durable when it resolves. Putting what is there already makes it new: it is not swept for as long as a new one would not be. */
  abstract put(scope: ObjectScope, content: ObjectContent): Promise<StoredObject>

  /**
   * Throws `ObjectMissing`, or `ObjectDamaged` where its length is wrong; a wrong hash ends the stream with `ObjectDamaged`, before its last bytes. Of a `part`
   * nothing else is read, so the hash cannot be looked at: it is told only that the object is there in its length.
   */
  abstract get(scope: ObjectScope, key: string, part?: ObjectPart): Promise<Readable>

  /** Whether it is there. */
  abstract has(scope: ObjectScope, key: string): Promise<boolean>

  /** The whole object. Throws `ObjectMissing` or `ObjectDamaged`. */
  abstract read(scope: ObjectScope, key: string): Promise<Buffer>

  /** Whether it is gone now: false when it was put after `unlessPutSince`. An object that is not there is gone. */
  abstract delete(scope: ObjectScope, key: string, unlessPutSince?: Date): Promise<boolean>

  /** Every object of an area, in no order; those that come and go meanwhile may be among them. */
  abstract list(area: string): AsyncIterable<ListedObject>

  /** Removes what interrupted puts before `before` left behind. Returns how many there were. */
  abstract removeUnfinished(before: Date): Promise<number>
}
