import { Column, Entity, PrimaryColumn } from 'typeorm'

/** The languages that definitions are written in. */
export type FlowLanguage = 'flowrunner' | 'flow8' | 'flwd'

/** One state of a flow's definition. Never changes once made; runs are pinned to theirs. */
@Entity()
export class FlowRevision {
  @PrimaryColumn('text')
  flowId: string

  @PrimaryColumn('integer')
  number: number

  /** Its label, as its author or the number gave it. Of revisions with the same label the newest goes by it. */
  @Column('text')
  version: string

  @Column('text')
  language: FlowLanguage

  @Column('text')
  definition: string

  @Column('timestamptz')
  createdAt: Date

  @Column('text')
  createdBy: string
}
