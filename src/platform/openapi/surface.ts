/** The documented APIs that this backend speaks, and what it says of itself beside them. Each names the operations, tags, schemas and the document that belong to it. */
export const surfaces = {
  facilflow: { title: 'FacilFlow', schemaPrefix: 'FacilFlow', document: 'facilflow.json' },
  flow8: { title: 'flow8', schemaPrefix: 'Flow8', document: 'flow8.json' },
  flowsApi: { title: 'Flows API', schemaPrefix: 'FlowsApi', document: 'flows-api.json' },
  flowRunner: { title: 'FlowRunner', schemaPrefix: 'FlowRunner', document: 'flowrunner.json' },
  flwd: { title: 'flwd', schemaPrefix: 'Flwd', document: 'flwd.json' },
  operations: { title: 'Operations', schemaPrefix: 'Operations', document: 'operations.json' },
} as const

export type SurfaceName = keyof typeof surfaces

export const surfaceNames = Object.keys(surfaces) as SurfaceName[]

/** `Flows` → `flows`, `Service accounts` → `serviceAccounts`, `API keys` → `apiKeys`: a resource's word inside an operationId. */
export function resourceWord(resource: string): string {
  return resource
    .split(/[^A-Za-z0-9]+/)
    .filter(Boolean)
    .map((word, index) => (index === 0 ? uncapitalized(word) : word.charAt(0).toUpperCase() + word.slice(1)))
    .join('')
}

/** An abbreviation is lowered as a whole. */
function uncapitalized(word: string): string {
  return word === word.toUpperCase() ? word.toLowerCase() : word.charAt(0).toLowerCase() + word.slice(1)
}
