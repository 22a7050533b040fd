import { Inject, Injectable, Optional } from '@nestjs/common'
import { hash, type Options, verify } from '@node-rs/argon2'

/** What a hash costs. Tests lower it. */
export const PASSWORD_COST = Symbol('what a password hash costs')

export type PasswordCost = Pick<Options, 'memoryCost' | 'timeCost' | 'parallelism'>

/** 19 MiB, 2 passes: some 15 ms of one core, off the main thread. */
const DEFAULT_COST: PasswordCost = { memoryCost: 19_456, timeCost: 2, parallelism: 1 }

/** Hashes passwords with argon2id. The cost is part of the hash, so that older ones stay good. */
@Injectable()
export class PasswordHasher {
  private readonly cost: PasswordCost
  private decoy?: Promise<string>

  constructor(@Optional() @Inject(PASSWORD_COST) cost?: PasswordCost) {
    this.cost = cost ?? DEFAULT_COST
  }

  hash(password: string): Promise<string> {
    return hash(password, this.cost)
  }

  /** Without a hash (nobody has that name) it takes as long as with one, and answers false. */
  async verify(passwordHash: string | undefined, password: string): Promise<boolean> {
    this.decoy ??= this.hash('nobody has this password')
    const matches = await verify(passwordHash ?? (await this.decoy), password)
    return matches && passwordHash !== undefined
  }
}
