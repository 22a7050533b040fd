/** The part of WebAssembly that the sandbox uses. TypeScript declares it with the browser's DOM only, which has no place here. */
declare namespace WebAssembly {
  type Module = object

  interface Memory {
    readonly buffer: ArrayBuffer
  }
  const Memory: new (descriptor: { initial: number; maximum?: number }) => Memory

  type Imports = Record<string, Record<string, unknown>>
  type Exports = Record<string, unknown>

  interface Instance {
    readonly exports: Exports
  }
  const Instance: new (module: Module, imports?: Imports) => Instance

  function compile(bytes: Uint8Array): Promise<Module>
}
