/** The documented APIs that this backend speaks. Each names the operations, tags and schemas that belong to it. */
export const surfaces = {
  facilflow: { title: 'FacilFlow', schemaPrefix: 'FacilFlow' },
  flow8: { title: 'flow8', schemaPrefix: 'Flow8' },
  flowsApi: { title: 'Flows API', schemaPrefix: 'FlowsApi' },
  flowRunner: { title: 'FlowRunner', schemaPrefix: 'FlowRunner' },
  flwd: { title: 'flwd', schemaPrefix: 'Flwd' },
} as const

export type SurfaceName = keyof typeof surfaces

export const surfaceNames = Object.keys(surfaces) as SurfaceName[]

/** `Flows` → `flows`, `Service accounts` → `serviceAccounts`: a resource's word inside an operationId. */
export function resourceWord(resource: string): string {
  const [first = '', ...rest] = resource.split(/[^A-Za-z0-9]+/).filter(Boolean)
  return (
    first.charAt(0).toLowerCase() +
    first.slice(1) +
    rest.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')
  )
}
