import { Body, Delete, Get, Param, Post, Query, Res } from '@nestjs/common'
import type { Response } from 'express'
import { Caller } from '../../../platform/auth/caller.js'
import { type Principal, WRITERS } from '../../../platform/auth/principal.js'
import { Roles } from '../../../platform/auth/roles.js'
import { type Expected, IfMatch, IfNoneMatch } from '../../../platform/http/headers.js'
import { Answers, PathParam, Problems, Summary, SurfaceController } from '../../../platform/openapi/operations.js'
import { KvService } from '../kv.service.js'
import {
  Flow8KvEntry,
  Flow8KvEntryList,
  Flow8KvQuery,
  Flow8NewKvEntry,
  kvQueryOf,
  newEntryOf,
  toKvEntry,
  toKvEntryList,
} from './kv.dto.js'

@SurfaceController({
  surface: 'flow8',
  path: 'api/kv',
  resource: 'KV',
  about: 'Entries that outlive the plays that write them.',
})
@PathParam('id', "The entry's id.", 'kv-123')
export class Flow8KvController {
  constructor(private readonly kv: KvService) {}

  @Get()
  @Summary(
    'List KV entries',
    "The caller's entries by scope, `scopeKey` and key. Values of secrets, and those above 64 KiB, are left out.",
  )
  @Answers(Flow8KvEntryList, { description: 'One page of entries' })
  async list(@Caller() caller: Principal, @Query() query: Flow8KvQuery): Promise<Flow8KvEntryList> {
    return toKvEntryList(await this.kv.page(caller, kvQueryOf(query)), query)
  }

  @Post()
  @Roles(...WRITERS)
  @Problems('conflict')
  @Summary(
    'Set a KV value',
    'An entry that is there already gets the new value, its time to live included; the answer is then 200. With `version` or `If-Match` only the version that was read is replaced (409 and 412 otherwise); with `version` 0 or `If-None-Match: *` nothing is.',
  )
  @Answers(Flow8KvEntry, {
    status: 201,
    also: { status: 200, description: 'The entry, with its new value' },
    description: 'The new entry',
    location: '/api/kv/{id}',
    version: 'version',
  })
  async set(
    @Caller() caller: Principal,
    @Body() body: Flow8NewKvEntry,
    @IfMatch() expected: Expected,
    @IfNoneMatch() onlyNew: boolean,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Flow8KvEntry> {
    const { entry, isNew } = await this.kv.set(caller, newEntryOf(body), { expected, onlyNew })
    response.status(isNew ? 201 : 200)
    return toKvEntry(entry)
  }

  @Get(':id')
  @Summary('Get a KV entry', 'The entry with its value, unless that is a secret.')
  @Answers(Flow8KvEntry, { description: 'The entry', version: 'version' })
  async get(@Caller() caller: Principal, @Param('id') id: string): Promise<Flow8KvEntry> {
    return toKvEntry(await this.kv.get(caller, id))
  }

  @Delete(':id')
  @Roles(...WRITERS)
  @Summary('Delete a KV entry', 'The key can be set again; its version then begins at 1.')
  @Answers(null, { description: 'The entry is deleted' })
  async delete(@Caller() caller: Principal, @Param('id') id: string, @IfMatch() expected: Expected): Promise<void> {
    await this.kv.remove(caller, id, expected)
  }
}
