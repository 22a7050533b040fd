import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * Groups of flows; key-value entries that are sealed, versioned, and kept for a flow, a group or the whole account.
 *
 * What was stored before is carried over as it is, under the key id '' that stands for no key: a migration has no encryption key. The
 * first process that starts seals it.
 */
export class GroupsAndScopedEntries0000000000013 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table flow_group (
        id text primary key,
        tenant_id text not null references tenant (id),
        account_id text not null references account (id),
        name text collate "C" not null,
        index integer not null,
        members text[] not null,
        created_at timestamptz(3) not null,
        updated_at timestamptz(3) not null
      );
      create unique index flow_group_name on flow_group (account_id, name);
      create index flow_group_order on flow_group (account_id, index, name);

      alter table kv_entry drop constraint kv_entry_pkey;
      alter table kv_entry
        alter column key type text collate "C",
        add column id text,
        add column tenant_id text,
        add column scope text not null default 'global' check (scope in ('global', 'flow_group', 'flow')),
        -- The group's or the flow's id, empty for entries of the whole account.
        add column scope_key text not null default '' check ((scope_key = '') = (scope = 'global')),
        add column key_id text not null default '',
        add column sealed bytea,
        add column version bigint not null default 1,
        -- Its value can be used but not read.
        add column secret boolean not null default false,
        add column created_at timestamptz(3);
      update kv_entry e set
        id = 'kv_0' || upper(left(replace(gen_random_uuid()::text, '-', ''), 25)),
        tenant_id = coalesce((select tenant_id from account a where a.id = e.account_id), 'default'),
        sealed = convert_to(value::text, 'UTF8'),
        created_at = updated_at;
      alter table kv_entry
        drop column value,
        alter column id set not null,
        alter column tenant_id set not null,
        alter column sealed set not null,
        alter column created_at set not null,
        alter column scope drop default,
        alter column scope_key drop default,
        alter column key_id drop default,
        add primary key (id);
      create unique index kv_entry_place on kv_entry (account_id, scope, scope_key, key);
      create index kv_entry_secret on kv_entry (account_id) where secret;
      create index kv_entry_unsealed on kv_entry (id) where key_id = '';
    `)
  }

  /** Loses what is sealed and what is kept for a flow or a group: the table before has no place for either. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      delete from kv_entry where key_id <> '' or scope <> 'global';
      drop index kv_entry_place, kv_entry_secret, kv_entry_unsealed;
      alter table kv_entry drop constraint kv_entry_pkey, add column value json;
      update kv_entry set value = convert_from(sealed, 'UTF8')::json;
      alter table kv_entry
        drop column id, drop column tenant_id, drop column scope, drop column scope_key, drop column key_id, drop column sealed,
        drop column version, drop column secret, drop column created_at,
        alter column key type text collate "default",
        alter column value set not null,
        add primary key (account_id, key);
      drop table flow_group;
    `)
  }
}
