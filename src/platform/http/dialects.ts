import type { SurfaceName } from '../openapi/surface.js'
import type { Dialect } from './problem.js'

/** The dialects by surface, and by prefix for requests that no controller's surface claims. */
export class Dialects {
  private readonly bySurface: ReadonlyMap<SurfaceName, Dialect>

  constructor(
    readonly all: readonly Dialect[],
    /** Longest prefix first. */
    private readonly byPrefix: readonly { prefix: string; surface: SurfaceName }[],
  ) {
    this.bySurface = new Map(all.map((dialect) => [dialect.surface, dialect]))
  }

  of(surface: SurfaceName): Dialect {
    const dialect = this.bySurface.get(surface)
    if (!dialect) throw new Error(`there is no dialect for '${surface}'`)
    return dialect
  }

  /** Undefined where no API begins with that path: then the plain problem is right. */
  at(path: string): Dialect | undefined {
    const found = this.byPrefix.find(({ prefix }) => path === prefix || path.startsWith(`${prefix}/`))
    return found && this.of(found.surface)
  }
}
