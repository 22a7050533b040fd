import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { Inject, Injectable } from '@nestjs/common'
import { Config } from '../config/config.js'

const ALGORITHM = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** An encrypted text as it is stored: which key it needs, and nonce, ciphertext and tag in one. */
export interface Sealed {
  keyId: string
  sealed: Buffer
}

/** A sealed text that cannot be opened: its key is not configured, or the row was changed or copied from elsewhere. */
export class CannotOpen extends Error {
  override readonly name = 'CannotOpen'
}

/**
 * Encrypts texts for the database with AES-256-GCM. `place` says which row and column the text belongs to; it is authenticated with
 * it, so that a ciphertext copied to another row cannot be opened there.
 */
@Injectable()
export class Sealer {
  /** The key that seals now. */
  readonly currentKeyId: string
  private readonly keys: ReadonlyMap<string, Buffer>

  constructor(@Inject(Config) { encryptionKeys }: Pick<Config, 'encryptionKeys'>) {
    const [current] = encryptionKeys
    if (!current) throw new Error('there is no encryption key')
    this.currentKeyId = current.id
    this.keys = new Map(encryptionKeys.map(({ id, key }) => [id, key]))
  }

  seal(text: string, place: readonly string[]): Sealed {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(ALGORITHM, this.key(this.currentKeyId), nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(associated(place))
    const ciphertext = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
    return { keyId: this.currentKeyId, sealed: Buffer.concat([nonce, ciphertext, cipher.getAuthTag()]) }
  }

  /** Throws `CannotOpen`. */
  open({ keyId, sealed }: Sealed, place: readonly string[]): string {
    const key = this.key(keyId)
    try {
      const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
      decipher.setAAD(associated(place))
      decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
      return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]).toString()
    } catch (cause) {
      throw new CannotOpen(`what key '${keyId}' sealed for ${place.join('/')} cannot be opened`, { cause })
    }
  }

  /**
   * The same for the same text and place, and telling nothing of the text to whoever has no key. After a rotation of keys it is another.
   */
  markOf(text: string, place: readonly string[]): string {
    const key = createHmac('sha256', this.key(this.currentKeyId)).update('mark').digest()
    return createHmac('sha256', key)
      .update(JSON.stringify([...place, text]))
      .digest('base64url')
  }

  private key(id: string): Buffer {
    const key = this.keys.get(id)
    if (!key) throw new CannotOpen(`the encryption key '${id}' is not configured`)
    return key
  }
}

/** JSON keeps the parts apart: `['a', 'b/c']` and `['a/b', 'c']` are different places. */
function associated(place: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify(place))
}
