import type { Request } from 'express'
import { Strategy } from 'passport'
import type { Principal } from './principal.js'

type Verified = (error: unknown, principal?: Principal | false) => void
type Verify = (text: string, request: Request, done: Verified) => void

/** A passport strategy for a credential that is one text: finds it in the request, and has it verified. */
export function textStrategy(name: string, textIn: (request: Request) => string | undefined) {
  return class TextStrategy extends Strategy {
    override name = name

    constructor(readonly verify: Verify) {
      super()
    }

    override authenticate(request: Request): void {
      const text = textIn(request)
      if (text === undefined) {
        this.fail(401)
        return
      }
      this.verify(text, request, (error, principal) => {
        if (error) this.error(error)
        else if (principal) this.success(principal)
        else this.fail(401)
      })
    }
  }
}
