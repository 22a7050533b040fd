/*
 * Which file may import which. From top to bottom: app, surfaces, modules, dialects, definitions, steps, engine, platform; an import
 * points down or stays. `npm run check:layers` reads it.
 */
const LAYERS = ['app', 'surfaces', 'modules', 'dialects', 'definitions', 'steps', 'engine', 'platform']
const SURFACES = '(facilflow|flow8|flows-api|flowrunner|flwd)'

const folder = (name) => `^src/${name}/`
/** Specs start whole applications, and fakes serve them. */
const spec = '\\.(spec|fake)\\.ts$'

module.exports = {
  forbidden: [
    ...LAYERS.slice(1).map((layer, index) => ({
      name: `${layer}-imports-upwards`,
      severity: 'error',
      comment: `${layer} stands below ${LAYERS.slice(0, index + 1).join(', ')}`,
      from: { path: folder(layer), pathNot: spec },
      to: { path: LAYERS.slice(0, index + 1).map(folder) },
    })),
    {
      name: 'libraries-know-no-framework',
      severity: 'error',
      comment: 'the engine and the step types are libraries',
      from: { path: '^src/(engine|steps)/', pathNot: spec },
      to: { path: '(^|/)node_modules/(@nestjs|typeorm|express)/' },
    },
    {
      name: 'the-engine-knows-no-flow-language',
      severity: 'error',
      from: { path: '^src/engine/', pathNot: spec },
      to: { path: '^src/(steps|definitions)/' },
    },
    {
      name: 'surface-words-stay-in-their-folders',
      severity: 'error',
      comment: "a module's words for one surface are used by that surface alone",
      from: { pathNot: [`^src/modules/[^/]+/${SURFACES}/`, '^src/surfaces/', spec] },
      to: { path: `^src/modules/[^/]+/${SURFACES}/` },
    },
    {
      name: 'surfaces-do-not-mix',
      severity: 'error',
      from: { path: `^src/modules/[^/]+/${SURFACES}/`, pathNot: spec },
      to: { path: `^src/modules/[^/]+/${SURFACES}/`, pathNot: '^src/modules/[^/]+/$1/' },
    },
    {
      name: 'the-demo-is-a-client',
      severity: 'error',
      comment: 'the demo starts the server and speaks to it, as anybody would',
      from: { path: folder('demo'), pathNot: ['^src/demo/served\\.ts$', spec] },
      to: { path: '^src/', pathNot: folder('demo') },
    },
    {
      name: 'nothing-needs-the-demo',
      severity: 'error',
      from: { pathNot: folder('demo') },
      to: { path: folder('demo') },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      comment: 'entities that import each other crash at load',
      from: { path: '^src/' },
      to: { circular: true },
    },
    {
      name: 'fakes-only-in-tests',
      severity: 'error',
      from: { path: '^src/', pathNot: spec },
      to: { path: [spec, '^test/'] },
    },
    {
      name: 'only-what-is-installed-to-run',
      severity: 'error',
      comment: 'what the product imports must be in dependencies',
      from: { path: '^src/', pathNot: spec },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    { name: 'found', severity: 'error', from: { path: '^src/' }, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['node', 'import', 'default', 'types'] },
  },
}
