/** The embedded database cannot be used here. The message is for whoever starts the program: what is wrong, and what helps. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError'
}
