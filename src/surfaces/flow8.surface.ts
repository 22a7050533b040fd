import { Module } from '@nestjs/common'

/** flow8: flows of layers; plays and their approvals; groups, KV entries, channels, schedules. */
@Module({
  imports: [],
  controllers: [],
})
export class Flow8Surface {}
