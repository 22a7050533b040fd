import { Column, Entity, PrimaryColumn } from 'typeorm'

/** The languages that definitions are written in. */
export type FlowLanguage = 'flowrunner'

/** One state of a flow's definition. Never changes once made; runs are pinned to theirs. */
@Entity()
export class FlowRevision {
  @PrimaryColumn('text')
  flowId: string

  @PrimaryColumn('integer')
  number: number

  @Column('text')
  language: FlowLanguage

  @Column('text')
  definition: string

  @Column('timestamptz')
  createdAt: Date

  @Column('text')
  createdBy: string
}
