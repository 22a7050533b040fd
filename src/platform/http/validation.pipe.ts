import { type ArgumentMetadata, Injectable, ValidationPipe } from '@nestjs/common'
import type { ValidationError } from 'class-validator'
import { isJsonObject } from '../json.js'
import { bodyFaults, InvalidRequest, queryFaults, ValidationFailed } from './faults.js'

/** Checks and converts what comes in, by its class. Unknown members are refused by name; nothing is converted by guessing. */
@Injectable()
export class InputPipe extends ValidationPipe {
  private static readonly settings = {
    whitelist: true,
    forbidNonWhitelisted: true,
    transform: true,
    transformOptions: { exposeUnsetFields: false },
    stopAtFirstError: false,
  }

  private readonly query = new ValidationPipe({
    ...InputPipe.settings,
    exceptionFactory: (errors: ValidationError[]) =>
      new InvalidRequest('A parameter of the query is invalid', queryFaults(errors)),
  })

  constructor() {
    super({
      ...InputPipe.settings,
      exceptionFactory: (errors: ValidationError[]) => new ValidationFailed(bodyFaults(errors)),
    })
  }

  override async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    if (metadata.type === 'query') return this.query.transform(value, metadata)
    if (metadata.type === 'body' && this.toValidate(metadata) && value !== undefined && !isJsonObject(value)) {
      throw new ValidationFailed([{ pointer: '#', detail: 'The body must be a JSON object', code: 'type' }])
    }
    return super.transform(value, metadata)
  }
}
