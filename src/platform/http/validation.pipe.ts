import { type ArgumentMetadata, Injectable, type Type, ValidationPipe } from '@nestjs/common'
import { instanceToPlain } from 'class-transformer'
import type { ValidationError } from 'class-validator'
import { isJsonObject } from '../json.js'
import { bodyFaults, InvalidRequest, queryFaults, ValidationFailed } from './faults.js'
import { instanceOf, objectsIn, ownConstructor } from './instances.js'

/** Objects that one body has checked by their classes. A hundred thousand hold up everybody for seconds and take a gigabyte. */
const MOST_OBJECTS = 10_000

/** Checks and converts what comes in, by its class. Unknown members are refused by name; nothing is converted by guessing. */
@Injectable()
export class InputPipe extends ValidationPipe {
  private errorOf = (errors: ValidationError[], metadata: ArgumentMetadata) =>
    metadata.type === 'query'
      ? new InvalidRequest('A parameter of the query is invalid', queryFaults(errors))
      : new ValidationFailed(bodyFaults(errors))

  constructor() {
    super({
      whitelist: true,
      forbidNonWhitelisted: true,
      transform: true,
      transformerPackage: { plainToInstance: instanceOf, classToPlain: instanceToPlain } as never,
      exceptionFactory: (errors: ValidationError[]) => new InputFaults(errors),
    })
  }

  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    if (!this.toValidate(metadata)) return super.transform(value, metadata)
    if (metadata.type === 'body' && value !== undefined && !isJsonObject(value)) {
      throw new ValidationFailed([{ pointer: '#', detail: 'The body must be a JSON object', code: 'type' }])
    }
    if (objectsIn(metadata.metatype as Type<unknown>, value) > MOST_OBJECTS) {
      const detail = `The body may hold at most ${MOST_OBJECTS} objects in its lists`
      throw new ValidationFailed([{ pointer: '#', detail, code: 'too_many' }])
    }
    const path = ownConstructor(metadata.metatype as Type<unknown>, value)
    if (path) throw this.errorOf([unknownMember(path)], metadata)
    try {
      return await super.transform(value, metadata)
    } catch (faults) {
      throw faults instanceof InputFaults ? this.errorOf(faults.errors, metadata) : faults
    }
  }

  /** Nest would delete `constructor` wherever it stands, also from data that is not ours to change. */
  protected override stripProtoKeys(): void {}
}

/** What class-validator found, on its way to become an error of a body or of a query. */
class InputFaults extends Error {
  constructor(readonly errors: ValidationError[]) {
    super('the input has faults')
  }
}

function unknownMember([property = '', ...rest]: string[]): ValidationError {
  return rest.length > 0
    ? { property, children: [unknownMember(rest)] }
    : { property, constraints: { whitelistValidation: 'unknown' } }
}
