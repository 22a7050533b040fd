import type { Json } from '../../../platform/json.js'
import { SecretMasker } from '../../../platform/masking/secret-masker.js'

/** Values, and the masker that hides them. */
export interface Masking {
  readonly values: readonly string[]
  readonly masker: SecretMasker
}

/** Hides what was secret when the run was taken, and what it has met since: an entry may become a secret, or change, while it runs. */
export class RunMasker {
  constructor(private known: Masking) {}

  mask<T extends Json>(value: T): T {
    return this.known.masker.mask(value)
  }

  /** From now on these are hidden as well. To be called before the run is given them. */
  learn(texts: readonly string[]): void {
    const met = texts.filter((text) => !this.known.values.includes(text))
    if (met.length === 0) return
    const values = [...this.known.values, ...met]
    this.known = { values, masker: new SecretMasker(values) }
  }
}
