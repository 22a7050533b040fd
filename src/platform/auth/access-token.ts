import type { VerifyOptions } from 'jsonwebtoken'

/** How access tokens are signed. One algorithm, pinned on both sides, so that a token cannot choose `none` or another. */
export const TOKEN_ALGORITHM = 'HS256'

/** The issuer that the documented tokens name. */
export const TOKEN_ISSUER = 'flowrunner'

/** Processes' clocks may differ by this much. */
export const CLOCK_TOLERANCE_S = 5

export const TOKEN_CHECKS = {
  algorithms: [TOKEN_ALGORITHM],
  issuer: TOKEN_ISSUER,
  clockTolerance: CLOCK_TOLERANCE_S,
} satisfies VerifyOptions
