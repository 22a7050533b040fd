/** The ways in that a surface can accept, by the scheme of the `Authorization` header. */
export type CredentialScheme = 'bearer' | 'basic'
