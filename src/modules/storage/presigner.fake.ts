import { Presigner } from './presigner.js'

/** Of a store at which no server answers. */
export class NoPresigner extends Presigner {
  override async presign(): Promise<string> {
    throw new Error('nothing answers URLs here')
  }
}
