/** The token in an `Authorization` header of the scheme Bearer, or undefined where there is none. */
export function bearerIn(authorization: string | undefined): string | undefined {
  return /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
}
