import { Injectable } from '@nestjs/common'
import { type StepCategory, StepRegistry, type StepType } from '../../engine/step.js'
import { StepTypeNotFound } from './steps.errors.js'

/** The step types that flows may use, for those who choose one. They are the same for everybody. */
@Injectable()
export class StepCatalogue {
  private readonly types: readonly StepType[]

  constructor(registry: StepRegistry) {
    this.types = registry.forFlows().sort((one, other) => (one.name < other.name ? -1 : 1))
  }

  /** By name, and how many there are in all. */
  page(
    { category }: { category?: StepCategory },
    { limit, offset }: { limit: number; offset: number },
  ): { types: StepType[]; total: number } {
    const types = this.types.filter((type) => category === undefined || type.category === category)
    return { types: types.slice(offset, offset + limit), total: types.length }
  }

  get(name: string): StepType {
    const type = this.types.find((one) => one.name === name)
    if (!type) throw new StepTypeNotFound(name.slice(0, 100))
    return type
  }
}
