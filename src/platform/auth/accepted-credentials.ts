import type { SurfaceName } from '../openapi/surface.js'

/** The ways in that a surface can accept, by the scheme of the `Authorization` header. */
export type CredentialScheme = 'bearer' | 'basic'

/** Which surface accepts what. A dialect says so for its surface, and the published security follows the same list. */
export class AcceptedCredentials {
  constructor(private readonly bySurface: Readonly<Partial<Record<SurfaceName, readonly CredentialScheme[]>>>) {}

  /** Routes outside all surfaces accept tokens only. */
  of(surface: SurfaceName | undefined): readonly CredentialScheme[] {
    return (surface && this.bySurface[surface]) ?? ['bearer']
  }
}
