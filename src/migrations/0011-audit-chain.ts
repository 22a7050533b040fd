import type { MigrationInterface, QueryRunner } from 'typeorm'

/**
 * The audit trail is sealed: each entry gets a position in its tenant's chain and a hash over what it says and over the seal before it.
 * Sealing comes after the commit, so nobody who writes an entry waits for anybody else. `src/modules/audit` says how; the rules that the
 * database itself holds are here.
 */
export class AuditChain0000000000011 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLES)
    await runner.query(INDEXES)
    await runner.query(RULES)
    await runner.query(CUT)
    await runner.query(SEQ_AT)
  }

  down(): Promise<void> {
    throw new Error('this migration is not undone: restore a backup instead')
  }
}

const TABLES = `
  -- Never filled: hashes are in audit_seal, so that sealing changes no entry.
  alter table audit_entry drop column hash;

  -- No foreign key: that an entry is gone must be possible to find.
  create table audit_seal (
    tenant_id text not null,
    position bigint not null,
    -- The entry. Each is sealed once, whoever seals.
    seq bigint not null unique,
    hash bytea not null,
    primary key (tenant_id, position)
  );

  -- How far each tenant's chain goes.
  create table audit_head (
    tenant_id text primary key,
    position bigint not null,
    hash bytea not null,
    mac bytea not null
  );

  -- Where a tenant's chain begins, once old entries were removed.
  create table audit_checkpoint (
    tenant_id text primary key,
    position bigint not null,
    hash bytea not null,
    mac bytea not null,
    cut_at timestamptz(3) not null
  );

  -- One row, which is also the turn of those who seal: entries up to last_seq are sealed or in audit_gap; so many are sealed in all.
  create table audit_sealing (
    is_one boolean primary key default true check (is_one),
    last_seq bigint not null,
    sealed bigint not null,
    mac bytea
  );
  insert into audit_sealing (last_seq, sealed) values (0, 0);

  -- Numbers that were passed over, because their transactions had not committed, or never did. All of those have ended once no
  -- transaction before open_until is running.
  create table audit_gap (
    first_seq bigint primary key,
    last_seq bigint not null,
    open_until xid8 not null,
    found_at timestamptz(3) not null default clock_timestamp()
  );

  -- The key that signs and seals, itself sealed under ENCRYPTION_KEY.
  create table audit_key (
    id text primary key,
    key_id text not null,
    sealed bytea not null
  );
`

/**
 * What is looked for in long trails. Starts of runs are nearly all of one and are written with every run: only the index by actor knows
 * them, the others cost a run nothing. Where all starts are asked for, they are found along the trail itself.
 */
const INDEXES = `
  create index audit_entry_of_actor on audit_entry (tenant_id, actor_id, seq desc);
  create index audit_entry_by_action on audit_entry (tenant_id, action, seq desc) where action <> 'run.start';
  create index audit_entry_by_type on audit_entry (tenant_id, resource_type, seq desc) where action <> 'run.start';
  create index audit_entry_failed on audit_entry (tenant_id, seq desc) where outcome = 'failure';
`

/**
 * Entries and seals are never changed, and go only from behind the checkpoint of their tenant, which only moves on. The owner is refused
 * as well, and so is a session that plays a replica.
 */
const RULES = `
  drop trigger audit_entry_append_only on audit_entry;
  drop function audit_entry_is_append_only;

  create function audit_is_append_only() returns trigger language plpgsql as $$
  begin
    raise exception 'the audit trail is append-only';
  end $$;

  create function audit_entry_may_go() returns trigger language plpgsql as $$
  begin
    if exists (select from gone where not exists (
        select from audit_seal s join audit_checkpoint c on c.tenant_id = s.tenant_id and c.position >= s.position
          where s.seq = gone.seq and s.tenant_id = gone.tenant_id)) then
      raise exception 'the audit trail is append-only';
    end if;
    return null;
  end $$;

  create function audit_seal_may_go() returns trigger language plpgsql as $$
  begin
    if exists (select from gone where not exists (
        select from audit_checkpoint c where c.tenant_id = gone.tenant_id and c.position >= gone.position)) then
      raise exception 'the audit trail is append-only';
    end if;
    return null;
  end $$;

  create function audit_checkpoint_moves_on() returns trigger language plpgsql as $$
  begin
    if new.tenant_id <> old.tenant_id or new.position < old.position then
      raise exception 'the audit trail is append-only';
    end if;
    return new;
  end $$;

  create trigger audit_entry_append_only before update or truncate on audit_entry
    for each statement execute function audit_is_append_only();
  create trigger audit_entry_cut after delete on audit_entry referencing old table as gone
    for each statement execute function audit_entry_may_go();
  create trigger audit_seal_append_only before update or truncate on audit_seal
    for each statement execute function audit_is_append_only();
  create trigger audit_seal_cut after delete on audit_seal referencing old table as gone
    for each statement execute function audit_seal_may_go();
  create trigger audit_checkpoint_stays before delete or truncate on audit_checkpoint
    for each statement execute function audit_is_append_only();
  create trigger audit_checkpoint_moves_on before update on audit_checkpoint
    for each row execute function audit_checkpoint_moves_on();

  alter table audit_entry enable always trigger audit_entry_append_only, enable always trigger audit_entry_cut;
  alter table audit_seal enable always trigger audit_seal_append_only, enable always trigger audit_seal_cut;
  alter table audit_checkpoint enable always trigger audit_checkpoint_stays, enable always trigger audit_checkpoint_moves_on;
`

/**
 * The one way in which entries go: from a tenant's oldest to this position, leaving a checkpoint. It has its owner's rights, so that the
 * program needs none to delete where the trail belongs to a role of its own. Answers how many went.
 */
const CUT = `
  create function audit_cut(p_tenant text, p_position bigint, p_hash bytea, p_mac bytea) returns bigint
  language plpgsql security definer set search_path from current as $$
  declare
    v_gone bigint;
  begin
    insert into audit_checkpoint as c (tenant_id, position, hash, mac, cut_at)
      values (p_tenant, p_position, p_hash, p_mac, clock_timestamp())
      on conflict (tenant_id) do update
        set position = excluded.position, hash = excluded.hash, mac = excluded.mac, cut_at = excluded.cut_at;
    delete from audit_entry e using audit_seal s
      where s.tenant_id = p_tenant and s.position <= p_position and e.seq = s.seq and e.tenant_id = p_tenant;
    get diagnostics v_gone = row_count;
    delete from audit_seal where tenant_id = p_tenant and position <= p_position;
    return v_gone;
  end $$;
`

/**
 * The number of the first entry that is not before a moment, by halving: entries are numbered nearly in the order of their times, so no
 * index of times is kept with every run. Entries can be out of order by as long as their transactions took: callers leave room for that.
 */
const SEQ_AT = `
  create function audit_seq_at(p_at timestamptz) returns bigint language plpgsql stable as $$
  declare
    v_low bigint := (select min(seq) from audit_entry);
    v_high bigint := (select max(seq) from audit_entry) + 1;
    v_seq bigint;
    v_at timestamptz;
  begin
    while v_low < v_high loop
      select seq, at into v_seq, v_at from audit_entry where seq >= v_low + (v_high - v_low) / 2 order by seq limit 1;
      if v_seq is null or v_seq >= v_high or v_at >= p_at then
        v_high := v_low + (v_high - v_low) / 2;
      else
        v_low := v_seq + 1;
      end if;
    end loop;
    return coalesce(v_low, 0);
  end $$;
`
