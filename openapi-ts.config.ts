import { defineConfig } from '@hey-api/openapi-ts'

/** The TypeScript SDK, nested as the operationIds are: `client.flowRunner.flows.list()`. */
export default defineConfig({
  input: './openapi/openapi.json',
  output: { path: 'sdk/typescript/src', module: { extension: '.js' } },
  plugins: [
    '@hey-api/client-fetch',
    '@hey-api/typescript',
    {
      name: '@hey-api/sdk',
      operations: { strategy: 'single', containerName: 'Millrace', nesting: 'operationId', nestingDelimiters: /_/ },
    },
  ],
})
