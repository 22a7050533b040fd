import { finished, Readable } from 'node:stream'
import busboy from 'busboy'
import type { Request } from 'express'
import { DomainError } from '../../platform/errors/domain-error.js'
import { InvalidRequest, ValidationFailed } from '../../platform/http/faults.js'

/** `type/subtype` with what may follow; else nobody could send it in a header. */
const MEDIA_TYPE = /^[\w!#$&^.+-]{1,127}\/[\w!#$&^.+-]{1,127}$/
/** Of a key as a field, in bytes; longer ones are told to be too long for a key. */
const FIELD_BYTES = 4_096
const FIELDS = 10

/** The file of a form, on its way. */
export interface UploadedFile {
  name: string
  contentType: string
  /** Ends once the form has ended as it should; whatever is wrong with the form ends it with that error. */
  content: Readable
  /** What the form says of it before the file; what it says behind it is known once `content` has ended. */
  keyBefore?: string
  /** The key that the form says, wherever. Known once `content` has ended. */
  key(): string | undefined
}

/**
 * Reads a form with one `file` and perhaps a `key`, in either order, without keeping anything of the file: `take` is called when the file
 * begins, and what it answers is answered. A form that breaks off, that says what is not known here, or that `allowed` refuses once all of it
 * has come, fails what reads `content`.
 */
export async function readUpload<T>(
  request: Request,
  take: (file: UploadedFile) => Promise<T>,
  allowed: () => Promise<void> = async () => {},
): Promise<T> {
  const form = new UploadForm(request, take, allowed)
  return await form.read()
}

class UploadForm<T> {
  private readonly parser: busboy.Busboy
  private readonly ended = Promise.withResolvers<void>()
  private key?: string
  private taken?: Promise<T>
  private current?: Readable
  private failed = false

  constructor(
    private readonly request: Request,
    private readonly take: (file: UploadedFile) => Promise<T>,
    private readonly allowed: () => Promise<void>,
  ) {
    // Nobody may be waiting for it.
    this.ended.promise.catch(() => {})
    try {
      this.parser = busboy({
        headers: request.headers,
        defParamCharset: 'utf8',
        limits: { fieldSize: FIELD_BYTES, fieldNameSize: 100, fields: FIELDS, files: 1, parts: FIELDS + 1 },
      })
    } catch {
      throw new InvalidRequest('The body is not a form: its content type names no boundary')
    }
  }

  async read(): Promise<T> {
    const { parser, request } = this
    parser.on('field', (name, value, { valueTruncated }) => this.field(name, value, valueTruncated))
    parser.on('file', (name, content, { filename, mimeType }) => this.file(name, content, filename, mimeType))
    for (const event of ['filesLimit', 'fieldsLimit', 'partsLimit'] as const)
      parser.on(event, () => this.fail(new InvalidRequest('The form has more than one file, or too many fields')))
    parser.on('error', () => this.fail(new InvalidRequest('The body is not a valid form')))
    parser.on('close', () => this.ended.resolve())
    finished(request, { writable: false }, (error) => error && this.fail(new InvalidRequest('The body broke off')))
    request.pipe(parser)
    await this.ended.promise.catch((error) => {
      if (!this.taken) throw error
    })
    if (!this.taken) throw required('file')
    return await this.taken
  }

  private field(name: string, value: string, isTruncated: boolean): void {
    if (name !== 'key') this.fail(unknown(name))
    else if (this.key !== undefined) this.fail(new InvalidRequest('The form has more than one key'))
    // Of a key that is too long all that counts is that it is.
    else this.key = isTruncated ? value.padEnd(FIELD_BYTES, ' ') : value
  }

  private file(name: string, file: Readable, fileName: string | undefined, contentType: string): void {
    // A broken form breaks its file; whoever reads the content is told by `ended`.
    file.on('error', () => {})
    if (name !== 'file' || this.failed) {
      this.fail(unknown(name))
      return void file.resume()
    }
    const { ended, allowed } = this
    const content = Readable.from(
      (async function* () {
        try {
          yield* file
        } catch (error) {
          throw error instanceof DomainError ? error : new InvalidRequest('The body is not a valid form')
        }
        await ended.promise
        await allowed()
      })(),
      { objectMode: false },
    )
    content.on('error', () => {})
    this.current = file
    this.taken = this.take({
      name: fileName ?? '',
      contentType: MEDIA_TYPE.test(contentType) ? contentType : 'application/octet-stream',
      content,
      ...(this.key !== undefined && { keyBefore: this.key }),
      key: () => this.key,
    })
    // A refusal is the answer at once, however much is still to come.
    this.taken.catch((error) => this.fail(error))
  }

  private fail(error: Error): void {
    if (this.failed) return
    this.failed = true
    this.ended.reject(error)
    this.current?.destroy(error)
    // The rest of the body is let pass: who is still sending it would not hear the answer.
    this.request.unpipe(this.parser)
    this.request.resume()
    this.parser.removeAllListeners('close')
    this.parser.destroy()
  }
}

function required(name: string): ValidationFailed {
  return new ValidationFailed([{ pointer: `#/${name}`, detail: `The ${name} is required`, code: 'required' }])
}

function unknown(name: string): ValidationFailed {
  const pointer = `#/${name.slice(0, 100).replaceAll('~', '~0').replaceAll('/', '~1')}`
  return new ValidationFailed([
    { pointer, detail: `'${name.slice(0, 100)}' is not known here`, code: 'unknown_member' },
  ])
}
