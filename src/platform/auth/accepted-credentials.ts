/** The ways in that a surface can accept: by the scheme of the `Authorization` header, or by the cookie of a session. */
export type CredentialScheme = 'bearer' | 'basic' | 'session'
